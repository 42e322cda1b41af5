/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a program costs that does nothing. */
#include <linux/pkt_cls.h>

#include "bpf.h"

SEC("tc")
int empty(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_UNSPEC;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
