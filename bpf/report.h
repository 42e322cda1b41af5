/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted and told of a packet. A full ring loses the event, counts that, and never holds up the packet. */
#pragma once

#include "config.h"
#include "decision.h"
#include "limit.h"
#include "maps.h"
#include "parse.h"

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

/* Room for an event in the ring of this CPU, or null, and that is counted. */
__inline struct event *reserve_event(struct event_tally *tally)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&events, &cpu);
	struct event *event = ring ? bpf_ringbuf_reserve(ring, sizeof(*event), 0) : 0;

	if (!event)
		tally->lost++;
	return event;
}

__inline void submit_event(struct event *event, struct event_tally *tally)
{
	tally->written++;
	bpf_ringbuf_submit(event, tally->written & wake_up_mask ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
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
	event->kind = decision->kind;
	event->egress_shape = decision->egress.shape;
	event->ingress_shape = decision->ingress.shape;
	event->pad = 0;
	event->service = decision->service;
	__builtin_memset(event->pad2, 0, sizeof(event->pad2));
}

/* Packets and bytes that the event speaks for. */
__inline void fill_totals(struct event *event, const struct decision *decision, const struct ct_entry *ended,
			  const struct held_back *held)
{
	event->packets[0] = ended ? ended->packets[0] : held->packets + 1;
	event->bytes[0] = ended ? ended->bytes[0] : held->bytes + event->length;
	event->packets[1] = ended ? ended->packets[1] : decision->active_egress;
	event->bytes[1] = ended ? ended->bytes[1] : decision->active_ingress;
}

/* What a row has held back and no later event told, as an event like the last of its flow. */
__inline void tell_rest(struct denial_limit *limit, struct event_tally *tally)
{
	struct held_back held;
	struct event *event;
	__u64 flow = limit->flow;

	take_held_back(limit, &held);
	if (!held.packets)
		return;
	event = reserve_event(tally);
	if (!event)
		return;
	*event = limit->last;
	event->time = bpf_ktime_get_ns();
	event->packets[0] = held.packets;
	event->bytes[0] = held.bytes;
	if (limit->flow == flow)
		submit_event(event, tally);
	else
		bpf_ringbuf_discard(event,
				    BPF_RB_NO_WAKEUP); /* the row was taken over meanwhile: whose it was is lost */
}

/* The row that a denial is told by, with what it held back; null if this one is held back too. */
__inline struct denial_limit *admit_denial(const struct packet *packet, const struct decision *decision,
					   struct event_tally *tally, struct held_back *held)
{
	__u64 flow = denied_flow(packet, decision), now = bpf_jiffies64();
	struct denial_limit *limit;
	__u32 row;

	limit = limit_of(flow, now, &row);
	if (!limit)
		return 0;
	if (row != OTHERS && limit->flow != flow) {
		tell_rest(limit, tally);
		limit->flow = flow;
		limit->told = 0;
	}
	if (!may_tell(limit, row, now)) {
		if (row != OTHERS)
			hold_back(limit, 1, packet->length);
		tally->held_back++;
		return 0;
	}
	take_held_back(limit, held);
	return limit;
}

/* `ended` is the entry of a connection that is over, whose totals are told; else null. */
__global int write_event(const struct packet *packet, const struct decision *decision, __u32 ifindex,
			 const struct ct_entry *ended)
{
	__u32 row = 0;
	struct event_tally *tally = bpf_map_lookup_elem(&event_tally, &row);
	struct denial_limit *limit = 0;
	struct held_back held = {};
	struct event *event;

	if (!tally || !packet || !decision)
		return 0;
	/* A denial that would not be one is as many packets as a denial. */
	if ((decision->reason || decision->staged) && denials_per_second) {
		limit = admit_denial(packet, decision, tally, &held);
		if (!limit)
			return 0;
	}
	event = reserve_event(tally);
	if (!event) {
		if (limit)
			hold_back(limit, held.packets, held.bytes);
		return 0;
	}
	fill_event(event, packet, decision);
	fill_totals(event, decision, ended, &held);
	event->ifindex = ifindex;
	if (limit)
		limit->last = *event;
	submit_event(event, tally);
	return 0;
}
