/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC programs at the host side of an endpoint's interface, and the way of a packet through them:
 *
 *   parse -> (fragment) -> conntrack -> [identity -> policy -> remember -> report] -> deliver
 *
 * What stands in brackets is done for new connections and after a change of policy, see judge.h; a packet whose
 * conntrack entry was judged by the active revision goes straight on.
 */
#include "abi.h"
#include "bpf.h"
#include "config.h"
#include "conntrack.h"
#include "deliver.h"
#include "endpoint.h"
#include "fragment.h"
#include "judge.h"
#include "maps.h"
#include "neighbour.h"
#include "parse.h"
#include "report.h"

/* Types that no map names, so that the object's BTF has them. */
struct abi_exports {
	enum direction direction;
	enum tier tier;
	enum peer_kind peer_kind;
	enum verdict verdict;
	enum delivery delivery;
	enum ct_status ct_status;
	enum aggregation aggregation;
	enum event_kind event_kind;
	enum reason reason;
	enum ct_flag ct_flag;
	enum ct_state ct_state;
	enum metrics_layout metrics_layout;
	enum mark mark;
	struct event event;
};
const struct abi_exports *const abi_exports SEC(".rodata") = 0;

/* What is dropped before its ends are known: told with what was parsed. */
__subprogram int drop_unjudged(const struct packet *packet, const struct hook *hook, int reason)
{
	struct decision decision = {};

	decision.revision = active_revision;
	decision.reason = reason;
	decision.direction = hook->direction;
	if (hook->direction == DIRECTION_EGRESS)
		decision.source.endpoint = endpoint_at(hook->ifindex);
	else
		decision.destination.endpoint = endpoint_at(hook->ifindex);
	count_reason(reason, hook->direction, packet->length);
	write_event(packet, &decision, hook->ifindex);
	return DROP;
}

/* The rule that a record names now: an entry in conntrack keeps the record. */
__inline __u32 rule_of_record(__u32 record, __u32 revision)
{
	const struct policy_record *row = bpf_map_lookup_elem(&policy_records, &record);

	return row ? slot_at(row->rule, revision) : 0;
}

/* Only where every packet is to be seen. False: the revision has moved on so far that a record no longer says what it
 * said then; the packet is to be judged again.
 */
__subprogram int write_cached_event(const struct packet *packet, const struct ct_lookup *ct, const struct hook *hook)
{
	struct decision decision = {};
	const struct ct_entry *entry = ct->entry;
	struct party opener = {}, responder = {};

	if (!entry)
		return false;
	opener.identity = entry->source_identity;
	opener.endpoint = ct_source_endpoint(ct->endpoints);
	responder.identity = entry->destination_identity;
	responder.endpoint = ct_destination_endpoint(ct->endpoints);
	decision.source = ct->reply ? responder : opener;
	decision.destination = ct->reply ? opener : responder;
	decision.revision = ct->verdict >> 32;
	decision.egress.record = entry->egress_record;
	decision.ingress.record = entry->ingress_record;
	decision.egress.rule = rule_of_record(entry->egress_record, decision.revision);
	decision.ingress.rule = rule_of_record(entry->ingress_record, decision.revision);
	if (!decision.egress.rule != !decision.egress.record || !decision.ingress.rule != !decision.ingress.record)
		return false;
	decision.direction = hook->direction;
	decision.status = ct->reply ? CT_STATUS_REPLY : CT_STATUS_ESTABLISHED;
	write_event(packet, &decision, hook->ifindex);
	return true;
}

/* The ends were checked when the entry was written; what remains is that the packet is at the interface it says. */
__inline bool is_at_its_hook(const struct hook *hook, __u32 sender, __u32 receiver)
{
	if (hook->direction == DIRECTION_EGRESS)
		return lives_at(sender, hook->ifindex) && (!receiver || live_endpoint(receiver));
	return lives_at(receiver, hook->ifindex) && (!sender || hook->from_source_hook);
}

/* True if the entry's verdict holds at the active revision: the packet is counted and may pass. */
__inline bool passes_by_cache(const struct packet *packet, const struct hook *hook, struct ct_lookup *ct,
			      __u32 *receiver)
{
	__u32 sender;

	if (!ct->entry || ct->verdict >> 32 != active_revision)
		return false;
	sender = ct->reply ? ct_destination_endpoint(ct->endpoints) : ct_source_endpoint(ct->endpoints);
	*receiver = ct->reply ? ct_source_endpoint(ct->endpoints) : ct_destination_endpoint(ct->endpoints);
	if (!is_at_its_hook(hook, sender, *receiver))
		return false;
	if (unlikely(event_aggregation == AGGREGATION_PACKETS) && !write_cached_event(packet, ct, hook))
		return false;
	ct_touch(ct->entry, packet, ct->reply);
	count_record(ct->entry->egress_record, packet->length);
	count_record(ct->entry->ingress_record, packet->length);
	count_reason(REASON_FORWARDED, hook->direction, packet->length);
	return true;
}

/* 0 if the packet may go on to `receiver`, else it is dropped and reported. */
__inline int decide(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook, __u32 *receiver)
{
	struct ct_lookup ct;

	if (unlikely(packet->flags & PACKET_STATELESS)) {
		__builtin_memset(&ct, 0, sizeof(ct));
		if (packet->flags & PACKET_ICMP_ERROR)
			return judge_icmp_error(skb, packet, hook, &ct, receiver);
		return judge_packet(packet, hook, &ct, receiver);
	}
	ct_find(packet, &ct);
	if (likely(passes_by_cache(packet, hook, &ct, receiver)))
		return 0;
	return judge_packet(packet, hook, &ct, receiver);
}

/* What is neither IPv4 nor IPv6, and what does not parse. */
__inline int handle_unparsed(struct __sk_buff *skb, struct packet *packet, const struct hook *hook, int result)
{
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->length = skb->len - ETH_HLEN;
	if (result == PARSE_OTHER) {
		result = check_arp(skb, hook);
		if (!result)
			return PASS;
	}
	return drop_unjudged(packet, hook, result);
}

__inline int handle(struct __sk_buff *skb, const struct hook *hook)
{
	struct packet packet = {};
	__u32 receiver = 0;
	int result;

	result = parse_plain(skb, &packet) ? 0 : parse(skb, &packet);
	if (unlikely(result))
		return handle_unparsed(skb, &packet, hook, result);
	if (unlikely(packet.flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT))) {
		result = track_fragment(&packet);
		if (result)
			return drop_unjudged(&packet, hook, result);
	}
	if (packet.protocol == IPPROTO_ICMPV6 && packet.flags & PACKET_STATELESS) {
		result = check_neighbour(skb, &packet, hook);
		if (result != NEIGHBOUR_JUDGE)
			return result ? drop_unjudged(&packet, hook, result) : PASS;
	}
	if (decide(skb, &packet, hook, &receiver))
		return DROP;
	if (hook->direction == DIRECTION_INGRESS)
		return PASS;
	result = deliver(skb, &packet, receiver);
	return result == GONE ? drop_unjudged(&packet, hook, REASON_TARGET_GONE) : result;
}

/* At tc ingress of the host side: what the endpoint sends. */
SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_EGRESS};

	return handle(skb, &hook);
}

/* At tc egress of the host side: what the endpoint is given by the stack. */
SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_INGRESS};
	__u32 mark = skb->mark;

	if ((mark & MARK_MAGIC_MASK) == MARK_MAGIC) {
		skb->mark = 0;
		if (lives_at(mark & MARK_ENDPOINT_MASK, hook.ifindex))
			return PASS;
		hook.from_source_hook = true;
	}
	return handle(skb, &hook);
}

/* For the loader, which measures how fast it runs. */
SEC("syscall")
int read_jiffies(void *context __attribute__((unused)))
{
	return bpf_jiffies64();
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
