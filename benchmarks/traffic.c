/* The two ends of the measurements with real packets: `traffic CPU MODE ...`, pinned to one CPU. A server says "ready"
 * and serves until it is ended; a client prints its figure.
 *
 *   serve ADDRESS ECHO_PORT SINK_PORT       echoes TCP and UDP; the sink takes datagrams and never reads them
 *   tcp-rr|udp-rr|connect ADDRESS PORT SECONDS    one byte there and back, on one connection or on one each; per second
 *   flood SOURCE ADDRESS PORT FLOWS MOST SECONDS   datagrams one way from a raw socket; ns each, and how many. With
 *                                           SECONDS of 0 each flow has one, in order; else they come mixed
 *   pace ADDRESS PORT MICROSECONDS          a datagram now and then, until ended
 */
#define _GNU_SOURCE /* CPU affinity */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONNECTIONS 64
/* About half a millisecond each. */
#define REQUESTS_PER_BLOCK 32
#define DATAGRAMS_PER_BLOCK 256

static void check(int result, const char *doing)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", doing, strerror(errno));
		exit(1);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *text, const char *port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

	check(inet_pton(AF_INET, text, &result.sin_addr) == 1 ? 0 : -1, text);
	return result;
}

static int listening(int kind, struct sockaddr_in at)
{
	int fd = socket(AF_INET, kind, 0), one = 1;

	check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "SO_REUSEADDR");
	check(bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
	if (kind == SOCK_STREAM)
		check(listen(fd, 1024), "listen");
	return fd;
}

static int connected(int kind, struct sockaddr_in to)
{
	int fd = socket(AF_INET, kind, 0), one = 1;
	struct timeval patience = {.tv_sec = 2};

	check(fd, "socket");
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), "SO_RCVTIMEO");
	check(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	if (kind == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void echo_datagram(int fd)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char byte;

	if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1)
		sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, size);
}

static void serve(char **arguments)
{
	struct pollfd fds[MOST_CONNECTIONS] = {
		{.fd = listening(SOCK_STREAM, address(arguments[0], arguments[1])), .events = POLLIN},
		{.fd = listening(SOCK_DGRAM, address(arguments[0], arguments[1])), .events = POLLIN},
	};
	int count = 2, one = 1;
	char byte;

	listening(SOCK_DGRAM, address(arguments[0], arguments[2]));
	puts("ready");
	fflush(stdout);
	for (;;) {
		poll(fds, count, -1);
		if (fds[0].revents && count < MOST_CONNECTIONS) {
			fds[count].fd = accept(fds[0].fd, 0, 0);
			setsockopt(fds[count].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			fds[count].revents = 0;
			fds[count++].events = POLLIN;
		}
		if (fds[1].revents)
			echo_datagram(fds[1].fd);
		for (int i = 2; i < count; i++) {
			if (!fds[i].revents || (read(fds[i].fd, &byte, 1) == 1 && write(fds[i].fd, &byte, 1) == 1))
				continue;
			close(fds[i].fd);
			fds[i--] = fds[--count];
		}
	}
}

static void exchange(int fd)
{
	char byte = 'x';

	check(write(fd, &byte, 1), "write");
	check(read(fd, &byte, 1) == 1 ? 0 : -1, "no answer");
}

/* The median over blocks of operations: what else runs on this CPU for a while spoils few of them. */
#define MOST_BLOCKS 65536

struct blocks {
	double seconds[MOST_BLOCKS];
	double start; /* of the current one */
	long count;
	long operations; /* in each */
};

static struct blocks blocks;

static void begin(long operations)
{
	blocks.operations = operations;
	blocks.start = now();
}

/* After each operation, numbered from 1. Returns the time of the last block's end. */
static double done(long number)
{
	double at;

	if (number % blocks.operations)
		return blocks.start;
	at = now();
	blocks.seconds[blocks.count++ % MOST_BLOCKS] = at - blocks.start;
	return blocks.start = at;
}

static int by_value(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

/* Seconds per operation. */
static double median(void)
{
	long count = blocks.count < MOST_BLOCKS ? blocks.count : MOST_BLOCKS;

	qsort(blocks.seconds, count, sizeof(*blocks.seconds), by_value);
	return blocks.seconds[count / 2] / blocks.operations;
}

static void request(const char *mode, char **arguments)
{
	struct sockaddr_in to = address(arguments[0], arguments[1]);
	int each = !strcmp(mode, "connect"), kind = !strcmp(mode, "udp-rr") ? SOCK_DGRAM : SOCK_STREAM;
	int fd = each ? -1 : connected(kind, to);
	double end = now() + atof(arguments[2]);
	long count = 0;

	begin(each ? REQUESTS_PER_BLOCK / 4 : REQUESTS_PER_BLOCK);
	do {
		if (each)
			fd = connected(kind, to);
		exchange(fd);
		if (each)
			close(fd);
	} while (done(++count) < end);
	printf("%.1f\n", 1 / median());
}

/* Each step is a permutation of the 16-bit numbers. */
static uint16_t mixed(uint16_t port)
{
	port ^= port >> 7;
	port *= 0x2C1B;
	port ^= port >> 9;
	port *= 0x9E3D;
	return port ^ port >> 8;
}

static void flood(char **arguments)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char text[18];
	} packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
	struct sockaddr_in from = address(arguments[0], "0"), to = address(arguments[1], arguments[2]);
	long flows = atol(arguments[3]), most = atol(arguments[4]), count = 0;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	double seconds = atof(arguments[5]), end = now() + seconds;

	check(fd, "raw socket");
	packet.ip.saddr = from.sin_addr.s_addr;
	packet.ip.daddr = to.sin_addr.s_addr;
	packet.udp.uh_dport = to.sin_port;
	packet.udp.uh_ulen = htons(sizeof(packet) - sizeof(packet.ip));
	to.sin_port = 0;
	begin(DATAGRAMS_PER_BLOCK);
	do {
		packet.udp.uh_sport = htons(flows == 1 ? 40000 : seconds ? mixed(count) : count);
		check(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)), "sendto");
	} while ((done(++count) < end || !seconds) && count < most);
	printf("%.1f %ld\n", median() * 1e9, count);
}

static void pace(char **arguments)
{
	struct sockaddr_in to = address(arguments[0], arguments[1]);
	struct timespec interval = {.tv_nsec = atol(arguments[2]) * 1000};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	prctl(PR_SET_TIMERSLACK, 1UL);
	for (long i = 0;; i++) {
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		if (i == 0) {
			puts("ready");
			fflush(stdout);
		}
		nanosleep(&interval, 0);
	}
}

int main(int count, char **arguments)
{
	cpu_set_t cpus;

	if (count < 5)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(arguments[1]), &cpus);
	check(sched_setaffinity(0, sizeof(cpus), &cpus), "affinity");
	if (!strcmp(arguments[2], "serve"))
		serve(arguments + 3);
	else if (!strcmp(arguments[2], "flood"))
		flood(arguments + 3);
	else if (!strcmp(arguments[2], "pace"))
		pace(arguments + 3);
	else
		request(arguments[2], arguments + 3);
	return 0;
}
