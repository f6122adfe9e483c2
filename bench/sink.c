/* A lean SMTP server for the bench: it takes every mail, counts it and throws it away.
 *
 *     cc -O2 -o sink sink.c && ./sink [--hold MS] [--work MS] [--shared] [--no-pipelining]
 *                                     [--log FILE] [--keep FILE] [--every N]
 *
 * One thread, so that it costs less than any client measured against it. On its standard output the first line
 * is its port. Then each line read from standard input is answered with one: `stats`, or `reset`, which also
 * sets the counts to zero. It ends with its standard input.
 *
 *   --hold     each reply is held back for so long: a server that is so far away, there and back
 *   --work     each mail takes so long before its connection goes on: a slow relay; with --shared there is
 *              one such for all connections
 *   --log      a line for each mail: recipient, Message-ID, bytes
 *   --keep     every Nth mail as it came, dots stuffed: a line with recipient and length, then the bytes
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 4, READ_SIZE = 256 * 1024, LINE_SIZE = 2048, OUT_SIZE = 4096, MOST_CONNECTIONS = 4096 };
static const char END[] = "\r\n.\r\n"; /* RFC 5321, 4.1.1.4 */

struct connection {
    int fd;
    uint64_t number; /* tells it from a later one with the same descriptor */
    bool in_content, has_recipient, is_leaving;
    char line[LINE_SIZE];
    size_t line_length;
    char tail[ROOM]; /* the content's last bytes: its end may be split between two reads */
    size_t tail_length;
    char recipient[512];
    char *content; /* only with --log or --keep */
    size_t content_length, content_size;
    uint64_t busy_until;
};

/* A reply that is held back; the heap is ordered by due, then by sequence. */
struct held {
    uint64_t due, sequence, number;
    int fd;
    bool then_close;
    size_t length;
    char text[256];
};

static struct connection *connections[MOST_CONNECTIONS];
static struct held **heap;
static size_t heap_length, heap_size;
static uint64_t hold, work, relay_free, now, sequence, numbers, every = 1;
static bool is_shared, is_pipelining = true;
static FILE *log_file, *keep_file;
static uint64_t mails, bytes, groups, opened, first_at, last_at, seen;
static char buffer[ROOM + READ_SIZE];
static char out[OUT_SIZE];
static size_t out_length;
static int timer, epoll;

static uint64_t clock_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *text, size_t length) {
    while (length) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, 1000);
        } else if (sent < 0) {
            return; /* the client has gone, and reading will tell */
        } else {
            text += sent;
            length -= (size_t)sent;
        }
    }
}

static void close_connection(struct connection *connection) {
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->content);
    free(connection);
}

/* --- replies ------------------------------------------------------------------------------------------ */

static bool is_before(const struct held *one, const struct held *other) {
    return one->due < other->due || (one->due == other->due && one->sequence < other->sequence);
}

static void push(struct held *reply) {
    if (heap_length == heap_size) {
        heap_size = heap_size ? 2 * heap_size : 1024;
        heap = realloc(heap, heap_size * sizeof *heap);
        if (!heap) die("realloc");
    }
    size_t place = heap_length++;
    for (; place && is_before(reply, heap[(place - 1) / 2]); place = (place - 1) / 2) heap[place] = heap[(place - 1) / 2];
    heap[place] = reply;
}

static struct held *pop(void) {
    struct held *top = heap[0], *moved = heap[--heap_length];
    size_t place = 0;
    for (size_t child; (child = 2 * place + 1) < heap_length; place = child) {
        if (child + 1 < heap_length && is_before(heap[child + 1], heap[child])) child++;
        if (!is_before(heap[child], moved)) break;
        heap[place] = heap[child];
    }
    heap[place] = moved;
    return top;
}

static uint64_t due_at(const struct connection *connection) {
    return (connection->busy_until > now ? connection->busy_until : now) + hold;
}

static void flush(struct connection *connection, bool then_close) {
    if (out_length && !hold && !work) {
        send_all(connection->fd, out, out_length);
    } else if (out_length) {
        struct held *reply = malloc(sizeof *reply);
        if (!reply) die("malloc");
        reply->due = due_at(connection);
        reply->sequence = sequence++;
        reply->number = connection->number;
        reply->fd = connection->fd;
        reply->then_close = then_close;
        reply->length = out_length;
        memcpy(reply->text, out, out_length);
        push(reply);
    }
    out_length = 0;
}

static void say(struct connection *connection, const char *text) {
    size_t length = strlen(text), most = hold || work ? sizeof heap[0]->text : sizeof out;
    if (out_length + length > most) flush(connection, false);
    memcpy(out + out_length, text, length);
    out_length += length;
}

static void send_due(void) {
    while (heap_length && heap[0]->due <= now) {
        struct held *reply = pop();
        struct connection *connection = connections[reply->fd];
        if (connection && connection->number == reply->number) {
            send_all(reply->fd, reply->text, reply->length);
            if (reply->then_close) close_connection(connection);
        }
        free(reply);
    }
}

static void set_timer(void) {
    if (!hold && !work) return;
    struct itimerspec when = {0};
    if (heap_length) {
        uint64_t wait = heap[0]->due > now ? heap[0]->due - now : 1;
        when.it_value.tv_sec = (time_t)(wait / 1000000000u);
        when.it_value.tv_nsec = (long)(wait % 1000000000u);
    }
    timerfd_settime(timer, 0, &when, NULL);
}

/* --- mails -------------------------------------------------------------------------------------------- */

static void keep(struct connection *connection, const char *start, size_t length) {
    if (!log_file && !keep_file) return;
    if (connection->content_length + length > connection->content_size) {
        connection->content_size = 2 * (connection->content_length + length);
        connection->content = realloc(connection->content, connection->content_size);
        if (!connection->content) die("realloc");
    }
    memcpy(connection->content + connection->content_length, start, length);
    connection->content_length += length;
}

static void write_down(struct connection *connection) {
    if (!log_file && !keep_file) return;
    size_t length = connection->content_length - 3; /* without the dot and its line end */
    if (log_file) {
        static const char name[] = "Message-ID: <";
        char *id = memmem(connection->content, length, name, sizeof name - 1);
        char *end = id ? memchr(id, '>', length - (size_t)(id - connection->content)) : NULL;
        id = end ? id + sizeof name - 1 : NULL;
        fprintf(log_file, "%s %.*s %zu\n", connection->recipient, id ? (int)(end - id) : 1, id ? id : "-", length);
    }
    if (keep_file && seen++ % every == 0) {
        fprintf(keep_file, "%s %zu\n", connection->recipient, length);
        fwrite(connection->content, 1, length, keep_file);
    }
    connection->content_length = 0;
}

static void accept_mail(struct connection *connection) {
    flush(connection, false); /* what was asked before it is answered before it */
    if (work) {
        uint64_t *busy = is_shared ? &relay_free : &connection->busy_until;
        *busy = (*busy > now ? *busy : now) + work;
        connection->busy_until = *busy;
    }
    uint64_t at = due_at(connection);
    if (!mails++) first_at = at;
    if (at > last_at) last_at = at;
    write_down(connection);
    connection->has_recipient = false;
    say(connection, "250 2.0.0 Ok\r\n");
}

/* Reads content from `start`; gives where the mail ends, or NULL when it goes on after `end`. */
static char *read_content(struct connection *connection, char *start, char *end) {
    char *from = start - connection->tail_length; /* there is room before each read, and what stood there is done */
    memcpy(from, connection->tail, connection->tail_length);
    char *found = memmem(from, (size_t)(end - from), END, sizeof END - 1);
    char *stop = found ? found + sizeof END - 1 : end;
    keep(connection, start, (size_t)(stop - start));
    if (found) return stop;
    size_t length = (size_t)(end - from);
    connection->tail_length = length < ROOM ? length : ROOM;
    memcpy(connection->tail, end - connection->tail_length, connection->tail_length);
    return NULL;
}

static bool is_verb(const char *line, const char *verb) {
    size_t length = strlen(verb);
    return !strncasecmp(line, verb, length) && (!line[length] || line[length] == ' ' || line[length] == ':');
}

static void command(struct connection *connection) {
    char *line = connection->line;
    if (is_verb(line, "MAIL FROM")) {
        say(connection, "250 2.1.0 Ok\r\n");
    } else if (is_verb(line, "RCPT TO")) {
        sscanf(line + 8, "<%511[^>]", connection->recipient);
        connection->has_recipient = true;
        say(connection, "250 2.1.5 Ok\r\n");
    } else if (is_verb(line, "DATA") && connection->has_recipient) {
        memcpy(connection->tail, "\r\n", 2); /* a mail may be nothing but its end */
        connection->tail_length = 2;
        connection->in_content = true;
        say(connection, "354 Go on\r\n");
    } else if (is_verb(line, "DATA")) {
        say(connection, "503 5.5.1 No recipient\r\n");
    } else if (is_verb(line, "EHLO")) {
        say(connection, "250-sink.example\r\n");
        if (is_pipelining) say(connection, "250-PIPELINING\r\n");
        say(connection, "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n");
    } else if (is_verb(line, "HELO")) {
        say(connection, "250 sink.example\r\n");
    } else if (is_verb(line, "RSET")) {
        connection->has_recipient = false;
        say(connection, "250 2.0.0 Ok\r\n");
    } else if (is_verb(line, "NOOP")) {
        say(connection, "250 2.0.0 Ok\r\n");
    } else if (is_verb(line, "QUIT")) {
        connection->is_leaving = true;
        say(connection, "221 2.0.0 Bye\r\n");
    } else {
        say(connection, "500 5.5.1 Unknown\r\n");
    }
}

static void read_bytes(struct connection *connection, char *start, char *end) {
    while (start < end && !connection->is_leaving) {
        if (connection->in_content) {
            start = read_content(connection, start, end);
            if (!start) return;
            connection->in_content = false;
            accept_mail(connection);
            continue;
        }
        char *newline = memchr(start, '\n', (size_t)(end - start));
        size_t length = (size_t)((newline ? newline : end) - start);
        size_t space = LINE_SIZE - 1 - connection->line_length;
        memcpy(connection->line + connection->line_length, start, length < space ? length : space);
        connection->line_length += length < space ? length : space;
        if (!newline) return;
        start = newline + 1;
        if (connection->line_length && connection->line[connection->line_length - 1] == '\r') connection->line_length--;
        connection->line[connection->line_length] = 0;
        command(connection);
        connection->line_length = 0;
    }
}

/* --- the server --------------------------------------------------------------------------------------- */

static void greet(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MOST_CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) die("calloc");
        connection->fd = fd;
        connection->number = ++numbers;
        opened++;
        connections[fd] = connection;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        say(connection, "220 sink.example ESMTP\r\n");
        flush(connection, false);
    }
}

static void serve(struct connection *connection) {
    ssize_t length = recv(connection->fd, buffer + ROOM, READ_SIZE, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
        close_connection(connection);
        return;
    }
    bytes += (uint64_t)length;
    groups++;
    if (connection->is_leaving) return;
    read_bytes(connection, buffer + ROOM, buffer + ROOM + length);
    flush(connection, connection->is_leaving);
    if (connection->is_leaving && !hold && !work) close_connection(connection);
}

static void answer_bench(void) {
    char asked[64] = {0};
    ssize_t length = read(STDIN_FILENO, asked, sizeof asked - 1);
    if (log_file) fflush(log_file);
    if (keep_file) fflush(keep_file);
    if (length <= 0) exit(0);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"mails\": %llu, \"bytes\": %llu, \"reads\": %llu, \"connections\": %llu, \"first_at\": %.6f, "
           "\"last_at\": %.6f, \"cpu\": %.6f}\n",
           (unsigned long long)mails, (unsigned long long)bytes, (unsigned long long)groups,
           (unsigned long long)opened, (double)first_at / 1e9, (double)last_at / 1e9, cpu);
    fflush(stdout);
    if (strstr(asked, "reset")) mails = bytes = groups = opened = first_at = last_at = seen = 0;
}

static FILE *open_file(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) die(path);
    return file;
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"hold", required_argument, NULL, 'h'},       {"work", required_argument, NULL, 'w'},
        {"shared", no_argument, NULL, 's'},           {"no-pipelining", no_argument, NULL, 'p'},
        {"log", required_argument, NULL, 'l'},        {"keep", required_argument, NULL, 'k'},
        {"every", required_argument, NULL, 'e'},      {0},
    };
    for (int option; (option = getopt_long(count, words, "", known, NULL)) >= 0;) {
        switch (option) {
        case 'h': hold = (uint64_t)(atof(optarg) * 1e6); break;
        case 'w': work = (uint64_t)(atof(optarg) * 1e6); break;
        case 's': is_shared = true; break;
        case 'p': is_pipelining = false; break;
        case 'l': log_file = open_file(optarg); break;
        case 'k': keep_file = open_file(optarg); break;
        case 'e': every = strtoull(optarg, NULL, 10); break;
        default: exit(2);
        }
    }
}

static int listen_somewhere(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (listener < 0 || bind(listener, (void *)&address, size) || listen(listener, 1024)) die("listen");
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **words) {
    read_options(count, words);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_somewhere();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const int always[] = {listener, timer, STDIN_FILENO};
    for (size_t each = 0; each < sizeof always / sizeof *always; each++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = always[each]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, always[each], &event)) die("epoll_ctl");
    }
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, -1);
        now = clock_now();
        send_due();
        for (int each = 0; each < ready; each++) {
            int fd = events[each].data.fd;
            uint64_t passed;
            if (fd == listener) {
                greet(listener);
            } else if (fd == timer) {
                if (read(timer, &passed, sizeof passed) < 0 && errno != EAGAIN) die("timer");
            } else if (fd == STDIN_FILENO) {
                answer_bench();
            } else if (connections[fd]) {
                serve(connections[fd]);
            }
        }
        set_timer();
    }
}
