/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted and told of a packet. A full ring loses the event, counts that, and never holds up the packet. */
#pragma once

#include "config.h"
#include "decision.h"
#include "maps.h"
#include "parse.h"

/* Waking the reader costs more than judging a packet: once for so many events of a CPU; a timer bounds the delay. */
#define EVENTS_PER_WAKE_UP 256

__inline void count(struct counter *counter, __u32 length)
{
	if (!counter)
		return;
	counter->packets++;
	counter->bytes += length;
}

__inline void count_reason(__u8 reason, enum direction direction, __u32 length)
{
	__u32 row = reason * METRICS_LAYOUT_DIRECTIONS + direction;

	count(bpf_map_lookup_elem(&metrics, &row), length);
}

__inline void count_record(__u32 record, __u32 length)
{
	if (record)
		count(bpf_map_lookup_elem(&record_hits, &record), length);
}

__inline __u64 wake_up(struct event_tally *tally)
{
	return tally->written % EVENTS_PER_WAKE_UP ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
}

__inline void fill_event(struct event *event, const struct packet *packet, const struct decision *decision)
{
	event->time = bpf_ktime_get_ns();
	__builtin_memcpy(event->source, &packet->source, sizeof(event->source));
	__builtin_memcpy(event->destination, &packet->destination, sizeof(event->destination));
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->length = packet->length;
	event->family = packet->family;
	event->protocol = packet->protocol;
	event->tcp_flags = packet->tcp_flags;
	event->icmp_type = packet->icmp_type;
	event->revision = decision->revision;
	event->source_identity = decision->source.identity;
	event->destination_identity = decision->destination.identity;
	event->source_endpoint = decision->source.endpoint;
	event->destination_endpoint = decision->destination.endpoint;
	event->egress_rule = decision->egress.rule;
	event->ingress_rule = decision->ingress.rule;
	event->direction = decision->direction;
	event->verdict = decision->reason == REASON_FORWARDED ? VERDICT_ALLOW : VERDICT_DENY;
	event->reason = decision->reason;
	event->status = decision->status;
	event->kind = EVENT_KIND_VERDICT;
	event->egress_shape = 0;
	event->ingress_shape = 0;
	event->pad = 0;
	event->packets[0] = 1;
	event->packets[1] = 0;
	event->bytes[0] = packet->length;
	event->bytes[1] = 0;
}

__global int write_event(const struct packet *packet, const struct decision *decision, __u32 ifindex)
{
	__u32 row = 0;
	struct event_tally *tally = bpf_map_lookup_elem(&event_tally, &row);
	struct event *event;

	if (!tally || !packet || !decision)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		tally->lost++;
		return 0;
	}
	fill_event(event, packet, decision);
	event->ifindex = ifindex;
	tally->written++;
	bpf_ringbuf_submit(event, wake_up(tally));
	return 0;
}
