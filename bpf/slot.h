/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two slots under the revision number: which of them counts. */
#pragma once

#include "abi.h"
#include "bpf.h"

__inline __u32 slot_at(const slot_t *slots, __u32 revision)
{
	__u64 first = *(const volatile slot_t *)&slots[0];
	__u64 second = *(const volatile slot_t *)&slots[1];
	__u32 first_from = first >> 32;
	__u32 second_from = second >> 32;

	if (first_from <= revision && (second_from > revision || first_from >= second_from))
		return first;
	return second_from <= revision ? second : 0;
}
