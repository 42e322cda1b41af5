/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The decision for one direction. Tiers are judged in order; within a tier, of all entries that match,
 *
 *   1. the rule with the highest precedence wins (priority, then rule order, then deny over allow over pass),
 *   2. then the one with the longer port prefix,
 *   3. then identity over prefix class over any peer;
 *
 * a winning pass, or no match, goes on to the next tier. Only key shapes that have entries are probed, from exact to
 * broad, so that of equal precedence the first found is the winner by 2 and 3.
 */
#pragma once

#include "config.h"
#include "ipcache.h"
#include "maps.h"

#define TIERS 3
#define PEER_KINDS 3
#define PREFIX_LENGTHS 18 /* 24 down to 8, and 0 */
#define SHAPES (PREFIX_LENGTHS * PEER_KINDS)
#define PREFIX_FULL 24
#define PREFIX_PROTOCOL 8
#define NO_PRECEDENCE (-1)

struct question {
	__u32 subject;
	__u32 peer;
	__u32 peer_class;
	__u32 revision;
	__u16 port; /* host order */
	__u8 protocol;
	__u8 direction;
	__u8 has_port;
	__u8 staged; /* 1: by the staged policies */
	__u8 pad[2];
};

/* Record 0: no entry matched. */
struct answer {
	__u32 record;
	__u32 rule;
	__u8 verdict;
	__u8 reason;
	__u8 shape; /* of the entry's key, plus 1 */
	__u8 pad;
};

/* Index of the lowest bit set, by a de Bruijn sequence: BPF has no instruction for it. */
__inline __u32 lowest_bit(__u64 bits)
{
	static const __u8 index[64] = {0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,
				       62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
				       63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
				       46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6};

	return index[((bits & -bits) * 0x03F79D71B4CB0A89ULL) >> 58];
}

/* Shape i: peer kind i % 3 and prefix length 24 - i / 3, the last three 0. Lower is more specific. */
__inline __u32 shape_prefix(__u32 shape)
{
	__u32 rank = shape / PEER_KINDS;

	return rank == PREFIX_LENGTHS - 1 ? 0 : PREFIX_FULL - rank;
}

__inline void key_of_shape(const struct question *question, __u32 tier, __u32 shape, struct policy_key *key)
{
	__u32 prefix = shape_prefix(shape);
	__u32 kind = shape % PEER_KINDS;

	key->subject = question->subject;
	key->peer = kind == PEER_KIND_IDENTITY ? question->peer : kind == PEER_KIND_ANY ? 0 : question->peer_class;
	key->port = prefix > PREFIX_PROTOCOL ? question->port & (0xFFFF << (PREFIX_FULL - prefix)) : 0;
	key->protocol = prefix ? question->protocol : 0;
	key->prefix = prefix;
	key->peer_kind = kind;
	key->tier = tier;
	key->direction = question->direction;
	key->staged = question->staged;
}

/* The best entry found so far, with the precedence of the rule it names. */
struct candidate {
	__s64 precedence;
	struct answer answer;
	__u32 pad;
};

/* Looks one key shape up; an entry that says something at the question's revision takes over from a lesser one. Verified
 * once, and the precedences stay out of the verifier's sight: inside the loop their ranges would multiply its states.
 */
__global int consider(const struct question *question, __u32 tier, __u32 shape, struct candidate *best)
{
	const struct policy_record *row;
	const struct rule *rule;
	struct policy_key key;
	const __u32 *record;
	__u32 number;

	if (!question || !best || (!question->has_port && shape_prefix(shape) > PREFIX_PROTOCOL))
		return 0;
	key_of_shape(question, tier, shape, &key);
	record = bpf_map_lookup_elem(&policy, &key);
	row = record ? bpf_map_lookup_elem(&policy_records, record) : 0;
	number = row ? slot_at(row->rule, question->revision) : 0;
	rule = number ? bpf_map_lookup_elem(&rules, &number) : 0;
	if (!rule || (__s64)rule->precedence <= best->precedence)
		return 0;
	best->precedence = rule->precedence;
	best->answer.record = *record;
	best->answer.rule = number;
	best->answer.verdict = rule->verdict;
	best->answer.reason = rule->reason;
	best->answer.shape = shape + 1;
	return 0;
}

/* Whether somebody is judged at all: whoever is has a default of each direction in the last tier. The node has none while
 * no policy of its own selects it.
 */
__global int has_default(__u32 subject, __u32 revision)
{
	struct policy_key key = {.subject = subject, .peer_kind = PEER_KIND_ANY, .tier = TIER_BASELINE};
	const struct policy_record *row;
	const __u32 *record;

	key.direction = DIRECTION_INGRESS;
	record = bpf_map_lookup_elem(&policy, &key);
	row = record ? bpf_map_lookup_elem(&policy_records, record) : 0;
	return row && slot_at(row->rule, revision);
}

/* Of a tier's four words two are the directions', the other two theirs of the staged policies. */
__inline __u64 live_shapes_of(__u32 tier, __u32 direction, __u32 staged)
{
	return live_shapes[tier & 3][(direction + 2 * staged) & 3];
}

/* Whoever is judged has a default in the last tier, of the staged policies too while there are any. */
__inline bool something_is_staged(void)
{
	return live_shapes_of(TIER_BASELINE, DIRECTION_INGRESS, 1) != 0;
}

/* The verdict of one tier; pass where nothing matches. */
__global int judge_tier(const struct question *question, struct answer *answer, __u32 tier)
{
	struct candidate best = {.precedence = NO_PRECEDENCE};
	__u64 shapes;

	if (!question || !answer)
		return VERDICT_PASS;
	shapes = live_shapes_of(tier, question->direction, question->staged);
	for (int i = 0; i < SHAPES && shapes; i++, shapes &= shapes - 1)
		consider(question, tier, lowest_bit(shapes), &best);
	if (best.precedence == NO_PRECEDENCE)
		return VERDICT_PASS;
	*answer = best.answer;
	return answer->verdict;
}

__inline void judge_direction(const struct question *question, struct answer *answer)
{
	answer->record = 0;
	answer->rule = 0;
	answer->shape = 0;
	for (__u32 tier = TIER_ADMIN; tier < TIERS; tier++) {
		if (live_shapes_of(tier, question->direction, question->staged) == 0)
			continue;
		if (judge_tier(question, answer, tier) != VERDICT_PASS)
			return;
	}
	answer->verdict = VERDICT_DENY;
	answer->reason = REASON_NO_VERDICT;
}
