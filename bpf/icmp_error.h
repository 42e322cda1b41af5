/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors: one shares the verdict of the connection whose packet it quotes, and is translated like that connection,
 * outside and in what it quotes; one that quotes none is judged by its own type.
 */
#pragma once

#include "judge.h"
#include "serve.h"
#include "translate.h"

/* An error is for the sender of what it quotes; an endpoint can only complain of what was sent to it. */
__inline bool quotes_rightly(const struct packet *error, const struct packet *quoted, const struct hook *hook)
{
	if (!same_address(&error->destination, &quoted->source))
		return false;
	return hook->direction == DIRECTION_INGRESS || same_address(&error->source, &quoted->destination);
}

/* Finds the connection that the error belongs to. True: it is to be translated, see `after` in serve_scratch. */
__subprogram int relate_error(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook,
			      struct ct_lookup *ct, struct packet *quoted)
{
	struct serve_scratch *serving = serve_scratch_here();

	if (!serving || parse_quoted(skb, packet, quoted) || !quotes_rightly(packet, quoted, hook))
		return false;
	ct_find(quoted, ct);
	if (!ct->entry)
		return false;
	serving->connection.related = 1;
	continue_entry(ct, &serving->connection);
	return translate_error(packet, quoted, ct, serving);
}

/* Rewrites what is to be, counts and reports. 0 or the reason to drop. */
__subprogram int conclude_error(struct __sk_buff *skb, const struct packet *packet, bool translated, bool inwards)
{
	struct judge_scratch *scratch = dirty_scratch();
	struct serve_scratch *serving = serve_scratch_here();

	if (!scratch || !serving)
		return REASON_INVALID_PACKET;
	if (!scratch->decision.reason && translated &&
	    rewrite_error(skb, packet, &serving->after, &scratch->quoted, &serving->quoted_after))
		scratch->decision.reason = REASON_TRANSLATION_FAILED;
	conclude(inwards ? &serving->after : packet, &serving->connection, &scratch->decision, 0);
	return scratch->decision.reason;
}

/* 0 or the reason to drop. The receiver's row goes to `receiver`. */
__subprogram int judge_icmp_error(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook,
				  struct ct_lookup *ct, __u32 *receiver)
{
	struct judge_scratch *scratch = clean_scratch();
	struct serve_scratch *serving = serve_scratch_here();
	bool translated, inwards;

	if (!scratch || !serving)
		return REASON_INVALID_PACKET;
	__builtin_memset(&serving->connection, 0, sizeof(serving->connection));
	serving->connection.hook = *hook;
	serving->connection.ingress_only = hook->from_source_hook;
	translated = relate_error(skb, packet, hook, ct, &scratch->quoted);
	/* Who the ends are, the backend's side says. */
	inwards = translated && serving->connection.reply;
	judge_at_one_revision(inwards ? &serving->after : packet, inwards ? &serving->quoted_after : &scratch->quoted,
			      &serving->connection, &scratch->decision);
	*receiver = receiver_of(&serving->connection, &scratch->decision);
	/* To a client outside it becomes the service's where it leaves, as answers do. */
	if (hook->direction == DIRECTION_EGRESS && !*receiver && !inwards)
		translated = false;
	return conclude_error(skb, packet, translated, inwards);
}
