/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC programs. */
#include "abi.h"
#include "bpf.h"
#include "config.h"
#include "maps.h"

/* Types that no map names, so that the object's BTF has them. */
struct abi_exports {
	enum direction direction;
	enum tier tier;
	enum peer_kind peer_kind;
	enum verdict verdict;
	enum delivery delivery;
	enum ct_status ct_status;
	enum aggregation aggregation;
	enum reason reason;
	enum ct_flag ct_flag;
	enum ct_state ct_state;
	enum metrics_layout metrics_layout;
	enum mark mark;
	struct event event;
};
const struct abi_exports *const abi_exports SEC(".rodata") = 0;

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	return skb->len + active_revision + live_shapes[0][1] + event_aggregation + ct_timeout_any + jiffies_per_second;
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	return skb->len + ct_timeout_tcp + ct_timeout_tcp_syn + ct_timeout_tcp_closing;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
