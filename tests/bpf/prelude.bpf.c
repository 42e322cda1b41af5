/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens to a packet before the program under test sees it, where a test run cannot give it so. */
#include "bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} tested SEC(".maps");

static long (*const vlan_push)(struct __sk_buff *skb, __be16 protocol, __u16 tag) = (void *)BPF_FUNC_skb_vlan_push;
static long (*const store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length,
				 __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*const tail_call)(void *context, void *map, __u32 row) = (void *)BPF_FUNC_tail_call;

#define NOT_CALLED 99

/* As the kernel leaves a packet that arrived with a VLAN tag: the tag beside it. */
SEC("tc") int tagged(struct __sk_buff *skb)
{
	vlan_push(skb, bpf_htons(0x8100), 5);
	tail_call(skb, &tested, 0);
	return NOT_CALLED;
}

/* A test run refuses IP packets shorter than their header: they come with the first bit of their type turned. */
SEC("tc") int retyped(struct __sk_buff *skb)
{
	__u8 type;

	bpf_skb_load_bytes(skb, 12, &type, sizeof(type));
	type ^= 0x80;
	store_bytes(skb, 12, &type, sizeof(type), 0);
	tail_call(skb, &tested, 0);
	return NOT_CALLED;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
