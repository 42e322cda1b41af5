/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the wrappers of the measured programs share: where their note stands, and the source port of each repetition. */
#pragma once

#define NOTE_OFFSET 80 /* behind Ethernet, IPv6 and TCP */

/* Connections are opened in one order and met in another, or their entries would lie in memory as they are met. */
enum order {
	ORDER_ONE_PORT,
	ORDER_MIXED,
	ORDER_ASCENDING,
	ORDER_FEW, /* 1,024 flows in turn, which the caches hold */
};

/* Each step is a permutation of the 16-bit numbers, so every port comes once in 65,536 repetitions. */
__inline __u16 mixed(__u32 counter)
{
	__u16 port = counter;

	port ^= port >> 7;
	port *= 0x2C1B;
	port ^= port >> 9;
	port *= 0x9E3D;
	return port ^ port >> 8;
}

__inline __u16 port_of(__u32 counter, __u32 order)
{
	if (order == ORDER_MIXED)
		return mixed(counter);
	return order == ORDER_FEW ? counter & 1023 : counter;
}
