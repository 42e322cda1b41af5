/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The datapath as it is, behind a wrapper that makes every repetition of BPF_PROG_TEST_RUN meet the packet it should.
 * The kernel runs all repetitions on the same bytes: delivery has lowered the TTL, and there is one flow only. The
 * wrapper puts the TTL back and, where asked, gives the packet another source port. The same wrapper around an empty
 * program is what is subtracted.
 */
#include "policy.bpf.c"

#include "ports.h"

#define HOPS 64

/* In the frame behind its headers, since that is what lasts from one repetition to the next. */
struct note {
	__u32 counter; /* of repetitions */
	__u32 vary; /* another source port each time, 65,536 of them: enum order */
	__u16 check; /* of the IPv4 header with all its hops */
	__u16 pad;
};

__inline bool prepare(struct __sk_buff *skb)
{
	void *start = (void *)(long)skb->data;
	struct ethhdr *ethernet = start;
	struct iphdr *ipv4 = (void *)(ethernet + 1);
	struct ipv6hdr *ipv6 = (void *)(ethernet + 1);
	struct note *note = start + NOTE_OFFSET;
	__be16 *source_port;

	if ((void *)(note + 1) > (void *)(long)skb->data_end)
		return false;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		ipv4->ttl = HOPS;
		ipv4->check = note->check;
		source_port = (void *)(ipv4 + 1);
	} else {
		ipv6->hop_limit = HOPS;
		source_port = (void *)(ipv6 + 1);
	}
	if (note->vary)
		*source_port = port_of(note->counter, note->vary);
	note->counter++;
	return true;
}

SEC("tc")
int wrapped_empty(struct __sk_buff *skb)
{
	return prepare(skb) ? PASS : DROP;
}

SEC("tc")
int wrapped_from_endpoint(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_EGRESS};

	return prepare(skb) ? handle(skb, &hook) : DROP;
}
