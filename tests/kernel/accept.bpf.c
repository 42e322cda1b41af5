/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Another tool's program, which accepts every packet: no program after it is asked. */
#include <linux/pkt_cls.h>

#include "bpf.h"

SEC("tc")
int accept(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_OK;
}

const char LICENSE[] SEC("license") = "GPL";
