"""botocore, by boto3 where that is installed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.session
from botocore.config import Config

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
THROTTLED = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"


class Short(BaseHTTPRequestHandler):
    """A table without capacity: answers so many times that it is exceeded, then well."""

    left = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = (400, {"__type": THROTTLED, "message": "too much"}) if Short.left > 0 else (200, {"Item": {}})
        Short.left -= 1
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_):
        return


def client(service, port, attempts=2, **options):
    config = Config(retries={"max_attempts": attempts}, **options)
    return botocore.session.Session().create_client(service, endpoint_url=f"http://127.0.0.1:{port}", config=config, **KEYS)


def throttled(seen):
    server = HTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    dynamodb = client("dynamodb", server.server_port)
    get = {"TableName": "newsfeed", "Key": {"id": {"S": "1"}}}
    Short.left = 2
    seen.expect("dynamodb newsfeed", "throttled", 2)
    seen("dynamodb newsfeed", lambda: len(dynamodb.get_item(**get)["Item"]))
    Short.left = 100
    attempts = Short.left
    seen("dynamodb newsfeed", lambda: dynamodb.get_item(**get), "throttled", calls=0)
    seen.expect("dynamodb newsfeed", "throttled", attempts - Short.left)
    server.shutdown()


def real(seen, port):
    dynamodb = client("dynamodb", port)
    schema = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    feed = "dynamodb feed"
    seen(feed, lambda: dynamodb.create_table(TableName="feed", **schema)["ResponseMetadata"]["HTTPStatusCode"])
    item = {"id": {"S": "1"}, "text": {"S": "hello"}}
    seen(feed, lambda: dynamodb.put_item(TableName="feed", Item=item)["ResponseMetadata"]["HTTPStatusCode"])
    seen(feed, lambda: dynamodb.get_item(TableName="feed", Key={"id": {"S": "1"}})["Item"]["text"]["S"])
    seen(feed, lambda: len(dynamodb.batch_get_item(RequestItems={"feed": {"Keys": [{"id": {"S": "1"}}]}})["Responses"]["feed"]))
    put = {"Put": {"TableName": "feed", "Item": item}}
    seen(feed, lambda: dynamodb.transact_write_items(TransactItems=[put])["ResponseMetadata"]["HTTPStatusCode"])
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/feed"
    seen(feed, lambda: dynamodb.describe_table(TableName=arn)["Table"]["TableName"])
    seen("dynamodb missing", lambda: dynamodb.get_item(TableName="missing", Key={"id": {"S": "1"}}), "error")
    seen("dynamodb", lambda: sorted(dynamodb.list_tables())[0])
    seen("dynamodb feed", lambda: dynamodb.get_item(TableName="feed"), "error")
    seen(feed, lambda: dynamodb.delete_table(TableName="feed")["ResponseMetadata"]["HTTPStatusCode"])
    s3 = client("s3", port, s3={"addressing_style": "path"})
    seen("s3 pictures", lambda: s3.create_bucket(Bucket="pictures")["ResponseMetadata"]["HTTPStatusCode"])
    seen("s3 pictures", lambda: s3.put_object(Bucket="pictures", Key="secret", Body=b"x")["ResponseMetadata"]["HTTPStatusCode"])
    seen("s3 pictures", lambda: s3.get_object(Bucket="pictures", Key="secret")["Body"].read().decode())
    seen("sqs", lambda: client("sqs", port).create_queue(QueueName="mail")["ResponseMetadata"]["HTTPStatusCode"])
    refused = client("dynamodb", 1, attempts=0, connect_timeout=1)
    seen("dynamodb feed", lambda: refused.get_item(TableName="feed", Key={"id": {"S": "1"}}), "refused")


def scenario(seen, addresses):
    throttled(seen)
    real(seen, addresses["aws"])
