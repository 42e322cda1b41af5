/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The datapath behind a wrapper that undoes translation: each repetition of BPF_PROG_TEST_RUN begins with the headers that
 * the frame had at first, which stand once more behind it, and where asked with another source port. IPv4 and TCP.
 */
#include "policy.bpf.c"

#include "ports.h"

#define HEAD 54 /* Ethernet, IPv4, TCP */

/* Behind the headers, since that is what lasts from one repetition to the next. */
struct note {
	__u32 counter; /* of repetitions */
	__u32 vary; /* another source port each time: enum order */
	__u32 pad;
	__u8 head[HEAD];
	__u8 end[2];
};

__inline bool restore(struct __sk_buff *skb)
{
	void *start = (void *)(long)skb->data;
	struct note *note = start + NOTE_OFFSET;
	__be16 *source_port = start + ETH_HLEN + sizeof(struct iphdr);

	if ((void *)(note + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(start, note->head, HEAD);
	if (note->vary)
		*source_port = port_of(note->counter, note->vary);
	note->counter++;
	return true;
}

SEC("tc")
int wrapped_empty(struct __sk_buff *skb)
{
	return restore(skb) ? PASS : DROP;
}

SEC("tc")
int wrapped_from_endpoint(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_EGRESS};

	return restore(skb) ? handle(skb, &hook) : DROP;
}

SEC("tc")
int wrapped_from_uplink(struct __sk_buff *skb)
{
	return restore(skb) ? handle_incoming(skb) : DROP;
}

SEC("tc")
int wrapped_to_uplink(struct __sk_buff *skb)
{
	return restore(skb) ? handle_outgoing(skb) : DROP;
}
