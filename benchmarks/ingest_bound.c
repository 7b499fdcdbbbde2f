/* What ingest must cost at least: an epoll server that reads the same bytes and adds the same vectors.
 *
 *   ingest_bound <file descriptor of a listening socket>
 *
 * It speaks the wire as the operator does (HELLO is answered by WELCOME, a report by an ACK every two seconds), keeps the newest
 * report of each connection, and four times a second adds all of them up: counters, responses by class, histogram, bands. The names of
 * a DEFINE are looked up in the service's table; records of FACTS are added to that table, once to the totals and once to the current
 * second, by the number of their endpoint. It checks nothing else. A line on standard input is answered by the number of reports and
 * their sum of finished requests; the end of input ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = 1, WELCOME = 2, REPORT = 3, DEFINE = 4, ACK = 6, FACTS = 8, BODY = 1864, HEADER = 144, BUCKETS = 416, COUNTERS_AT = 16, COUNTERS = 10, BANDS_AT = 104, BANDS = 5, MOST = 20480, BUFFER = 65541 };
enum { FACTS_HEAD = 16, RECORD = 12, DURATION = 3, CELL = 4, IDS = 256, SECONDS = 10 };

struct connection {
    uint32_t filled;
    int has_report;
    double acked;
    uint8_t numbers[IDS]; /* of the connection's ids of endpoints */
    uint8_t *rest; /* an incomplete frame; most of the time there is none */
    _Alignas(8) uint8_t body[BODY];
};

static struct connection *connections[MOST];
static uint64_t reports, counters_total[COUNTERS], bands_total[BANDS], histogram_total[BUCKETS];
static uint64_t totals[IDS][DURATION + 1], window[SECONDS][IDS][DURATION + 1];
static uint32_t cells[SECONDS][IDS][BUCKETS];
static struct { uint8_t length; char text[255]; } names[IDS];
static uint32_t names_used = 1; /* 0 is "other" */
static uint64_t second;
static const char welcome[] = "{\"wire\":1,\"operator\":\"bound\",\"interval_ms\":500,\"bands_ms\":[1000,3000,8000],\"max_frame\":65536}";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_frame(int fd, uint8_t kind, const void *body, uint32_t size) {
    uint8_t frame[256];
    uint32_t length = size + 1;
    memcpy(frame, &length, 4);
    frame[4] = kind;
    memcpy(frame + 5, body, size);
    if (send(fd, frame, 5 + size, MSG_NOSIGNAL) < 0 && errno != EAGAIN) return;
}

static void add(const uint8_t *numbers, const uint8_t *records, uint32_t size) {
    uint32_t slot = second % SECONDS;
    for (uint32_t at = 0; at + RECORD <= size; at += RECORD) {
        uint16_t id;
        uint32_t argument, value;
        memcpy(&id, records + at + 2, 2);
        memcpy(&argument, records + at + 4, 4);
        memcpy(&value, records + at + 8, 4);
        if (id >= IDS) continue;
        uint8_t number = numbers[id], kind = records[at];
        if (kind >= 1 && kind <= DURATION) {
            totals[number][kind] += value;
            window[slot][number][kind] += value;
        } else if (kind == CELL && argument < BUCKETS) {
            cells[slot][number][argument] += value;
        }
    }
}

static uint8_t number_of(const uint8_t *text, uint8_t length) {
    for (uint32_t i = 1; i < names_used; i++)
        if (names[i].length == length && memcmp(names[i].text, text, length) == 0) return (uint8_t)i;
    if (names_used == IDS) return 0;
    names[names_used].length = length;
    memcpy(names[names_used].text, text, length);
    return (uint8_t)names_used++;
}

static void define(struct connection *c, const uint8_t *entries, uint32_t size) {
    for (uint32_t at = 0; at + 4 <= size && at + 4 + entries[at + 3] <= size; at += 4 + entries[at + 3]) {
        uint16_t id;
        memcpy(&id, entries + at + 1, 2);
        if (entries[at] == 1 && id < IDS) c->numbers[id] = number_of(entries + at + 4, entries[at + 3]);
    }
}

/* Every second the oldest of the last ones is forgotten. */
static void begin(uint64_t now_s) {
    if (now_s == second) return;
    second = now_s;
    memset(window[second % SECONDS], 0, sizeof window[0]);
    memset(cells[second % SECONDS], 0, sizeof cells[0]);
}

static void take(int fd, struct connection *c, uint8_t kind, const uint8_t *body, uint32_t size, double at) {
    if (kind == HELLO) {
        send_frame(fd, WELCOME, welcome, sizeof welcome - 1);
    } else if (kind == REPORT && size >= BODY) {
        memcpy(c->body, body, BODY);
        c->has_report = 1;
        reports++;
        if (at - c->acked >= 2.0) {
            c->acked = at;
            uint8_t ack[16] = {0};
            memcpy(ack, body, 8);
            send_frame(fd, ACK, ack, sizeof ack);
        }
    } else if (kind == FACTS && size >= FACTS_HEAD) {
        begin((uint64_t)at);
        add(c->numbers, body + FACTS_HEAD, size - FACTS_HEAD);
    } else if (kind == DEFINE) {
        define(c, body, size);
    }
}

static void fold(int highest) {
    memset(counters_total, 0, sizeof counters_total);
    memset(bands_total, 0, sizeof bands_total);
    memset(histogram_total, 0, sizeof histogram_total);
    for (int fd = 0; fd <= highest; fd++) {
        struct connection *c = connections[fd];
        if (c == NULL || !c->has_report) continue;
        const uint64_t *counters = (const uint64_t *)(c->body + COUNTERS_AT);
        const uint32_t *bands = (const uint32_t *)(c->body + BANDS_AT);
        const uint32_t *histogram = (const uint32_t *)(c->body + HEADER);
        for (int i = 0; i < COUNTERS; i++) counters_total[i] += counters[i];
        for (int i = 0; i < BANDS; i++) bands_total[i] += bands[i];
        for (int i = 0; i < BUCKETS; i++) histogram_total[i] += histogram[i];
    }
}

static int receive(int fd, struct connection *c, double at) {
    static uint8_t buffer[2 * BUFFER];
    if (c->filled) memcpy(buffer, c->rest, c->filled);
    ssize_t got = recv(fd, buffer + c->filled, BUFFER, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    uint32_t filled = c->filled + (uint32_t)got, offset = 0, length;
    while (filled - offset >= 5) {
        memcpy(&length, buffer + offset, 4);
        if (length < 1 || length > 65536) return 0;
        if (filled - offset < 4 + length) break;
        take(fd, c, buffer[offset + 4], buffer + offset + 5, length - 1, at);
        offset += 4 + length;
    }
    c->filled = filled - offset;
    if (c->filled) {
        if (c->rest == NULL) c->rest = malloc(BUFFER);
        memcpy(c->rest, buffer + offset, c->filled);
    }
    return 1;
}

static void drop(int fd) {
    free(connections[fd]->rest);
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

int main(int count, char **arguments) {
    int listener = count > 1 ? atoi(arguments[1]) : -1, highest = 0;
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    double due = now() + 0.25;
    for (;;) {
        double at = now();
        int wait = due > at ? (int)((due - at) * 1000) + 1 : 0;
        int ready = epoll_wait(poll, events, 512, wait);
        at = now();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) {
                char line[64];
                if (read(0, line, sizeof line) <= 0) return 0;
                printf("{\"reports\": %lu, \"finished\": %lu}\n", reports, counters_total[1]);
                fflush(stdout);
            } else if (fd == listener) {
                int made = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (made < 0 || made >= MOST) continue;
                connections[made] = calloc(1, sizeof(struct connection));
                if (made > highest) highest = made;
                event.data.fd = made;
                epoll_ctl(poll, EPOLL_CTL_ADD, made, &event);
            } else if (!receive(fd, connections[fd], at)) {
                drop(fd);
            }
        }
        if (at >= due) {
            fold(highest);
            due = at + 0.25;
        }
    }
}
