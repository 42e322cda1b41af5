/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One form for the addresses of both families: sixteen bytes, IPv4 mapped into ::ffff:0:0/96. */
#pragma once

#include "bpf.h"

#define MAPPED_PREFIX 0xFFFF0000 /* 0000:ffff as it lies in memory on a little-endian machine */

/* Network order. */
struct address {
	union {
		__u32 words[4];
		__u64 halves[2];
	};
};

__inline bool same_address(const struct address *one, const struct address *other)
{
	return one->halves[0] == other->halves[0] && one->halves[1] == other->halves[1];
}

__inline bool is_unspecified(const struct address *address)
{
	return !(address->halves[0] | address->halves[1]);
}

__inline bool is_mapped(const struct address *address)
{
	return address->halves[0] == 0 && address->words[2] == MAPPED_PREFIX;
}

__inline void map_ipv4(struct address *address, __u32 ipv4)
{
	address->halves[0] = 0;
	address->words[2] = MAPPED_PREFIX;
	address->words[3] = ipv4;
}
