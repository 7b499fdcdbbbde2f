"""PyMongo, called and, in versions that have it, awaited."""

import pymongo


def called(seen, url):
    client = pymongo.MongoClient(url)
    posts = client["feed"]["posts"]
    name = "mongodb feed"
    seen(name, lambda: posts.delete_many({}).acknowledged)
    seen(name, lambda: posts.insert_one({"_id": 1, "text": "a"}).inserted_id)
    seen(name, lambda: len(posts.insert_many([{"_id": 2}, {"_id": 3}]).inserted_ids))
    seen(name, lambda: [post["_id"] for post in posts.find().sort("_id")])
    seen(name, lambda: posts.insert_one({"_id": 1}))
    seen(name, lambda: client["feed"].command("nonsense"), "error")
    client.close()


def refused(seen):
    client = pymongo.MongoClient("mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=200)
    seen("mongodb 127.0.0.1:1", lambda: type(client["feed"].command("ping")), "refused")


async def awaited(seen, url):
    client = pymongo.AsyncMongoClient(url)
    await seen.awaited("mongodb feed", lambda: client["feed"]["posts"].count_documents({}))
    await client.close()


def scenario(seen, addresses):
    url = f"mongodb://127.0.0.1:{addresses['mongodb']}/"
    called(seen, url)
    refused(seen)
    return awaited(seen, url) if hasattr(pymongo, "AsyncMongoClient") else None
