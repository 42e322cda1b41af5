/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A stand-in for the policy programs, for tests of attaching: counts the IPv4 packets that meet it and lets all pass,
 * or none.
 */
#include <linux/pkt_cls.h>

#include "bpf.h"

#define ETH_P_IP 0x0800

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

volatile __u32 closed SEC(".data.gate");

__inline int gate(struct __sk_buff *skb, __u32 row)
{
	__u64 *count = bpf_map_lookup_elem(&seen, &row);

	if (skb->protocol != bpf_htons(ETH_P_IP) || !count)
		return TC_ACT_UNSPEC;
	++*count;
	return closed ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	return gate(skb, 0);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	return gate(skb, 1);
}

const char LICENSE[] SEC("license") = "GPL";
