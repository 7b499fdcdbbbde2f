/* What ingest must cost at least: an epoll server that reads the same bytes and adds the same vectors.
 *
 *   ingest_bound <file descriptor of a listening socket>
 *
 * It speaks the wire as the operator does (HELLO is answered by WELCOME, a report by an ACK every two seconds), keeps the newest
 * report of each connection, and four times a second adds all of them up. Records of FACTS are added to one table of endpoints, by the
 * ids that agents use. It checks nothing else. A line on standard input is
 * answered by the number of reports and their sum of finished requests; the end of input ends it.
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

enum { HELLO = 1, WELCOME = 2, REPORT = 3, ACK = 6, FACTS = 8, BODY = 1864, HEADER = 144, BUCKETS = 416, MOST = 20480, BUFFER = 65541 };
enum { FACTS_HEAD = 16, RECORD = 12, CELL = 4, IDS = 256 };

struct connection {
    uint32_t filled;
    int has_report;
    double acked;
    uint8_t *rest; /* an incomplete frame; most of the time there is none */
    uint8_t body[BODY];
};

static struct connection *connections[MOST];
static uint64_t reports, finished_total, histogram_total[BUCKETS];
static uint64_t counted[9][IDS], cells[IDS][BUCKETS];
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

static void add(const uint8_t *records, uint32_t size) {
    for (uint32_t at = 0; at + RECORD <= size; at += RECORD) {
        uint16_t id;
        uint32_t argument, value;
        memcpy(&id, records + at + 2, 2);
        memcpy(&argument, records + at + 4, 4);
        memcpy(&value, records + at + 8, 4);
        if (id >= IDS || records[at] > 8) continue;
        if (records[at] != CELL) counted[records[at]][id] += value;
        else if (argument < BUCKETS) cells[id][argument] += value;
    }
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
        add(body + FACTS_HEAD, size - FACTS_HEAD);
    }
}

static void fold(int highest) {
    memset(histogram_total, 0, sizeof histogram_total);
    finished_total = 0;
    for (int fd = 0; fd <= highest; fd++) {
        struct connection *c = connections[fd];
        if (c == NULL || !c->has_report) continue;
        uint64_t finished;
        memcpy(&finished, c->body + 24, 8);
        finished_total += finished;
        const uint32_t *histogram = (const uint32_t *)(c->body + HEADER);
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
                printf("{\"reports\": %lu, \"finished\": %lu}\n", reports, finished_total);
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
