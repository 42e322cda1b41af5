/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings. KNOB: read-only, set by the loader before the object is loaded; each carries its description, which the
 * generated Python shows. The words that user space changes while packets flow stand in sections (maps) of their own.
 */
#pragma once

#include "abi.h"
#include "bpf.h"

#define KNOB(type, name, value, description)                                                                           \
	const volatile type name SEC(".rodata") __attribute__((btf_decl_tag(description))) = value

KNOB(__u32, jiffies_per_second, 250, "rate of bpf_jiffies64, measured by the loader");
KNOB(__u32, ct_timeout_tcp, 8000, "seconds an established TCP connection is remembered without a packet");
KNOB(__u32, ct_timeout_tcp_syn, 60, "seconds a TCP connection that was not yet answered is remembered");
KNOB(__u32, ct_timeout_tcp_closing, 10, "seconds a TCP connection is remembered after FIN or RST");
KNOB(__u32, ct_timeout_any, 60, "seconds any other flow is remembered without a packet");

/* The active revision, alone in its cache line: a commit ends in one store to it. */
volatile __u32 active_revision SEC(".data.revision") __attribute__((aligned(64)));

/* Which key shapes have entries, by tier and direction: bit i is the shape that shape_of() in policy.h numbers i. Wide
 * enough for every revision that may still be judged by. Four by four, so that a mask keeps an index inside.
 */
volatile __u64 live_shapes[4][4] SEC(".data.shapes") __attribute__((aligned(64)));

/* Number of the list of prefixes that the prefilter drops; 0: none. The list's keys have it. */
volatile __u16 prefilter_list SEC(".data.prefilter") __attribute__((aligned(64)));

/* How many denials of one flow are told a second, on each CPU; 0: all. Changes at run time. */
volatile __u32 denials_per_second SEC(".data.events") __attribute__((aligned(64))) = 10;

/* Waking the reader costs more than judging a packet: it is done once for so many events of a CPU and one more, a power of
 * two less one; a timer bounds the delay. The loader sets it by the size of the rings.
 */
volatile __u32 wake_up_mask SEC(".data.events") = 255;

/* enum aggregation, of endpoints that have none of their own; changes at run time. */
volatile __u32 event_aggregation SEC(".data.events") = AGGREGATION_CONNECTIONS;
