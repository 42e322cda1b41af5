/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The peer that reading events is measured against: libbpf's own ring buffer consumer, as its documentation has it. Takes
 * the numbers of ring maps, says when it listens, and reads until its standard input ends; then says what it saw.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MILLISECONDS 10
#define LENGTH_OFFSET 72 /* of struct event: bytes of the packet */

static unsigned long long events, bytes;

static int take(void *context, void *data, size_t size)
{
	unsigned int length = 0;

	(void)context;
	if (size >= LENGTH_OFFSET + sizeof(length))
		memcpy(&length, (char *)data + LENGTH_OFFSET, sizeof(length));
	events++;
	bytes += length;
	return 0;
}

static int input_ended(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

static struct ring_buffer *open_rings(int count, char **numbers)
{
	struct ring_buffer *rings = NULL;

	for (int i = 0; i < count; i++) {
		int map = bpf_map_get_fd_by_id(strtoul(numbers[i], NULL, 10));

		if (map < 0)
			return NULL;
		if (!rings)
			rings = ring_buffer__new(map, take, NULL, NULL);
		else if (ring_buffer__add(rings, map, take, NULL))
			return NULL;
	}
	return rings;
}

int main(int count, char **arguments)
{
	struct ring_buffer *rings = open_rings(count - 1, arguments + 1);

	if (!rings) {
		fprintf(stderr, "cannot open the rings\n");
		return 1;
	}
	printf("listening\n");
	fflush(stdout);
	while (!input_ended()) {
		ring_buffer__poll(rings, POLL_MILLISECONDS);
		ring_buffer__consume(rings);
	}
	ring_buffer__consume(rings);
	printf("%llu %llu\n", events, bytes);
	ring_buffer__free(rings);
	return 0;
}
