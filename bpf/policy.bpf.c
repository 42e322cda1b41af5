/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC programs at the host side of an endpoint's interface, and the way of a packet through them:
 *
 *   parse -> (fragment) -> conntrack -> [service -> identity -> policy -> remember -> report] -> (translate) -> deliver
 *
 * What stands in brackets is done for new connections and after a change of policy, see judge.h; a packet whose
 * conntrack entry was judged by the active revision goes straight on.
 */
#include "abi.h"
#include "bpf.h"
#include "config.h"
#include "conntrack.h"
#include "deliver.h"
#include "end.h"
#include "endpoint.h"
#include "fragment.h"
#include "icmp_error.h"
#include "judge.h"
#include "limit.h"
#include "maps.h"
#include "neighbour.h"
#include "node.h"
#include "parse.h"
#include "prefilter.h"
#include "report.h"
#include "serve.h"
#include "snat.h"
#include "translate.h"

#define MAX_PRIORITY_TAGS 4
#define VLAN_ID_MASK 0x0FFF

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
	enum denial_layout denial_layout;
	enum reason reason;
	enum ct_flag ct_flag;
	enum ct_state ct_state;
	enum service_scope service_scope;
	enum service_table_word service_table_word;
	enum service_flag service_flag;
	enum backend_state backend_state;
	enum metrics_layout metrics_layout;
	enum mark mark;
	struct event event;
	struct held_back_request held_back_request;
	struct end_request end_request;
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
	if (wanted_at(hook->ifindex) < AGGREGATION_OFF)
		write_event(packet, &decision, hook->ifindex, 0);
	return DROP;
}

/* Remembers a packet that is to be told though its connection's verdict stands, and tells it. False: the revision has
 * moved on so far that a record no longer says what it said then; the packet is to be judged again.
 */
__subprogram int touch_and_tell(const struct packet *packet, const struct ct_lookup *ct, const struct hook *hook,
				__u32 kind)
{
	struct decision decision = {};
	struct ct_entry *entry = ct->entry;
	bool closes;

	if (!entry)
		return false;
	decide_as_before(entry, ct->endpoints, ct->verdict, ct->reply, &decision);
	if (!decision.egress.rule != !decision.egress.record || !decision.ingress.rule != !decision.ingress.record)
		return false;
	closes = ct_closes(entry, packet, ct->reply);
	ct_touch(entry, packet, ct->reply);
	decision.direction = hook->direction;
	decision.kind = closes ? EVENT_KIND_CLOSE : kind;
	write_event(packet, &decision, hook->ifindex, closes ? entry : 0);
	return true;
}

/* The ends were checked when the entry was written; what remains is that the packet is at the interface it says. */
__inline bool is_at_its_hook(const struct hook *hook, __u32 sender, __u32 receiver, __u32 *wanted)
{
	const struct endpoint *source = live_endpoint(sender);
	const struct endpoint *destination = live_endpoint(receiver);

	*wanted = wanted_of(source, destination);
	if (hook->uplink)
		return !sender && (!receiver || destination);
	if (hook->direction == DIRECTION_EGRESS)
		return source && source->ifindex == hook->ifindex && (!receiver || destination);
	return destination && destination->ifindex == hook->ifindex && (!sender || hook->from_source_hook);
}

/* TCP's marks of a connection's beginning and end, where this direction has not shown them yet. */
__inline __u8 new_flags(const struct ct_entry *entry, const struct packet *packet, __u8 reply)
{
	return packet->tcp_flags & ~entry->tcp_flags[reply & 1] & (TCP_SYN | TCP_FIN | TCP_RST);
}

/* Remembers and, where that is wanted, tells. False: the packet is to be judged again. */
__inline bool touch(const struct packet *packet, const struct ct_lookup *ct, const struct hook *hook, __u32 wanted)
{
	if (unlikely(wanted <= AGGREGATION_CONNECTIONS && new_flags(ct->entry, packet, ct->reply)))
		return touch_and_tell(packet, ct, hook, EVENT_KIND_FLAGS);
	if (unlikely(wanted == AGGREGATION_PACKETS))
		return touch_and_tell(packet, ct, hook, EVENT_KIND_PACKET);
	ct_touch(ct->entry, packet, ct->reply);
	return true;
}

/* True if the entry's verdict holds at the active revision: the packet is counted and may pass. */
__inline bool passes_by_cache(const struct packet *packet, const struct hook *hook, struct ct_lookup *ct,
			      __u32 *receiver)
{
	__u32 sender, wanted;

	if (!ct->entry || ct->verdict >> 32 != active_revision)
		return false;
	sender = ct->reply ? ct_destination_endpoint(ct->endpoints) : ct_source_endpoint(ct->endpoints);
	*receiver = ct->reply ? ct_source_endpoint(ct->endpoints) : ct_destination_endpoint(ct->endpoints);
	if (!is_at_its_hook(hook, sender, *receiver, &wanted) || !touch(packet, ct, hook, wanted))
		return false;
	count_record(ct->entry->egress_record, packet->length);
	count_record(ct->entry->ingress_record, packet->length);
	count_reason(REASON_FORWARDED, hook->direction, packet->length);
	return true;
}

/* Of a connection through a service: passes_by_cache, in which `after` is what the packet then reads like. */
__subprogram int passes_translated(const struct packet *packet, const struct hook *hook, struct ct_lookup *ct,
				   struct packet *after, __u32 *receiver)
{
	if (!ct->entry || ct->verdict >> 32 != active_revision || !translate(packet, ct, after))
		return false;
	if (ct->verdict & CT_FLAG_FRONTEND || ct->reply) {
		if (has_news(ct->entry, packet, ct->reply) && !tell_other(after, ct->entry, ct->reply))
			return false;
	}
	return passes_by_cache(ct->verdict & CT_FLAG_FRONTEND ? after : packet, hook, ct, receiver);
}

__inline int rewrite_or_drop(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook,
			     const struct packet *after)
{
	if (likely(!rewrite(skb, packet, after)))
		return 0;
	drop_unjudged(packet, hook, REASON_TRANSLATION_FAILED);
	return REASON_TRANSLATION_FAILED;
}

/* An answer to a client outside becomes the service's where it leaves, at the uplink: with the node's address as its source
 * the stack would not take it from an endpoint.
 */
__inline bool leaves_as_it_is(const struct ct_lookup *ct, __u32 receiver)
{
	return ct->reply && !receiver && !(ct->verdict & CT_FLAG_FRONTEND);
}

/* Services are looked for where a connection begins: what comes out of an endpoint, or in from outside. */
__inline bool may_open_service(const struct packet *packet, const struct hook *hook, const struct ct_lookup *ct)
{
	if (!may_be_for_service(packet) || (hook->direction == DIRECTION_INGRESS) == !hook->uplink)
		return false;
	return !ct->entry || ct->verdict & CT_FLAG_FRONTEND;
}

/* What conntrack's entry, if there is one, does not let through as it is. */
__inline int decide_anew(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook,
			 struct ct_lookup *ct, __u32 *receiver)
{
	struct serve_scratch *serving = serve_scratch_here();
	bool translated = ct->entry && ct->verdict & CT_FLAG_TRANSLATED;
	int result = NOT_FOR_SERVICE;

	if (!serving)
		return REASON_INVALID_PACKET;
	if (translated && passes_translated(packet, hook, ct, &serving->after, receiver)) {
		if (leaves_as_it_is(ct, *receiver))
			return 0;
		return rewrite_or_drop(skb, packet, hook, &serving->after);
	}
	if (may_open_service(packet, hook, ct))
		result = judge_service(packet, hook);
	if (result == 0)
		result = conclude_service(packet, receiver);
	if (result == NOT_FOR_SERVICE) {
		if (translated && (ct->verdict & CT_FLAG_FRONTEND || !translate(packet, ct, &serving->after))) {
			ct->entry = 0;
			translated = false;
		}
		result = judge_packet(packet, hook, ct, receiver);
		if (result || !translated)
			return result;
	}
	if (result)
		return result;
	tell_of_judgement(packet, &serving->after);
	if (leaves_as_it_is(ct, *receiver))
		return 0;
	return rewrite_or_drop(skb, packet, hook, &serving->after);
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
	/* Nothing comes back by the tuple that only the client sees. */
	if (unlikely(ct.entry && ct.verdict & CT_FLAG_FRONTEND && ct.reply))
		ct.entry = 0;
	if (likely(!(ct.entry && ct.verdict & CT_FLAG_TRANSLATED)) &&
	    likely(passes_by_cache(packet, hook, &ct, receiver)))
		return 0;
	return decide_anew(skb, packet, hook, &ct, receiver);
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

/* Whether a packet from outside is for a service, or of a connection through one. All others are the stack's. */
__inline bool is_for_service(const struct packet *packet, const struct hook *hook)
{
	struct ct_lookup ct;
	__u32 row = 0;

	if (!may_be_for_service(packet))
		return false;
	ct_find(packet, &ct);
	return (ct.entry && ct.verdict & CT_FLAG_TRANSLATED) || find_service(packet, hook, active_revision, &row);
}

/* Whether an ICMP error from outside is about what a service's connection sent. */
__subprogram int concerns_service(struct __sk_buff *skb, const struct packet *packet)
{
	struct snat_scratch *scratch = snat_scratch_here();
	struct ct_lookup ct;

	if (!scratch)
		return false;
	__builtin_memset(&scratch->quoted, 0, sizeof(scratch->quoted));
	if (parse_quoted(skb, packet, &scratch->quoted))
		return false;
	ct_find(&scratch->quoted, &ct);
	return ct.entry && ct.verdict & CT_FLAG_TRANSLATED;
}

__inline int handle_from_outside(struct __sk_buff *skb, struct packet *packet, const struct hook *hook)
{
	__u32 receiver = 0;
	int result;

	if (unlikely(packet->flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT)) && track_fragment(packet))
		return PASS; /* the stack waits for the rest, or gives up */
	result = translate_in(skb, packet);
	if (result)
		return drop_unjudged(packet, hook, result);
	if ((packet->flags & PACKET_ICMP_ERROR ? !concerns_service(skb, packet) : !is_for_service(packet, hook)) &&
	    !is_the_node_to_judge(packet, hook))
		return PASS;
	if (decide(skb, packet, hook, &receiver))
		return DROP;
	if (!receiver)
		return PASS;
	result = deliver(skb, packet, receiver);
	return result == GONE ? drop_unjudged(packet, hook, REASON_TARGET_GONE) : result;
}

/* What is not understood cannot be judged, and the stack may understand it; other links within a link are not ours. */
__inline int pass_or_drop_unparsed(struct __sk_buff *skb, struct packet *packet, const struct hook *hook, int result)
{
	if (result == PARSE_OTHER || result == REASON_VLAN || !node_is_judged())
		return PASS;
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->length = skb->len - ETH_HLEN;
	return drop_unjudged(packet, hook, result);
}

/* Linux takes VLAN 0 for no VLAN (802.1Q, 9.6: a priority tag) and gives the packet to this link's own stack; so it is
 * judged as what the stack will see. 0, or the reason to drop: nobody means so many tags.
 */
__global int take_off_priority_tags(struct __sk_buff *skb)
{
	for (int tags = 0; tags < MAX_PRIORITY_TAGS; tags++) {
		if (likely(!skb->vlan_present) || skb->vlan_tci & VLAN_ID_MASK)
			return 0;
		if (bpf_skb_vlan_pop(skb))
			break;
	}
	return REASON_VLAN;
}

__inline int handle_incoming(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_INGRESS, .uplink = true};
	struct packet packet = {};
	int result;

	if (unlikely(take_off_priority_tags(skb)))
		return drop_unjudged(&packet, &hook, REASON_VLAN);
	result = parse_plain(skb, &packet) ? 0 : parse(skb, &packet);
	if (unlikely(result))
		return pass_or_drop_unparsed(skb, &packet, &hook, result);
	return handle_from_outside(skb, &packet, &hook);
}

/* At tc ingress of an uplink: what comes from outside. */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	return handle_incoming(skb);
}

__inline int handle_outgoing(struct __sk_buff *skb)
{
	struct hook hook = {.ifindex = skb->ifindex, .direction = DIRECTION_EGRESS, .uplink = true};
	struct packet packet = {};
	__u32 receiver = 0;
	int reason;

	/* What came in by some interface is on its way through. */
	hook.from_source_hook = skb->ingress_ifindex != 0;
	reason = parse_plain(skb, &packet) ? 0 : parse(skb, &packet);
	if (unlikely(reason))
		return pass_or_drop_unparsed(skb, &packet, &hook, reason);
	if (unlikely(packet.flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT))) {
		reason = track_fragment(&packet);
		/* The node's own need no translation; of all others nothing may leave as it is. */
		if (reason && !is_the_nodes(&packet, hook.ifindex))
			return drop_unjudged(&packet, &hook, reason);
	}
	/* By its own ports, before translation may change one of them; an answer is judged after translation back. */
	if (is_the_node_to_judge(&packet, &hook) && decide(skb, &packet, &hook, &receiver))
		return DROP;
	reason = translate_out(skb, &packet, hook.ifindex);
	return reason ? drop_unjudged(&packet, &hook, reason) : PASS;
}

/* At tc egress of an uplink: what leaves, by whichever way it came here. */
SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
	return handle_outgoing(skb);
}

/* For user space: tells what a flow's row still holds back. Returns 1 if there was anything. */
SEC("syscall")
int tell_held_back(struct held_back_request *request)
{
	__u32 row = request->row, only = 0;
	struct denial_limit *limit = bpf_map_lookup_percpu_elem(&denial_limits, &row, request->cpu);
	struct event_tally *tally = bpf_map_lookup_elem(&event_tally, &only);

	/* A row in use tells it itself. */
	if (!limit || !tally || row == OTHERS || bpf_jiffies64() - limit->since < jiffies_per_second)
		return 0;
	only = limit->held_packets != 0;
	tell_rest(limit, tally);
	return only;
}

/* For user space: tells the end of a connection whose time has run out. Returns 1 if it was to be told. */
SEC("syscall")
int tell_end(struct end_request *asked)
{
	struct end_request request = *asked;
	struct ct_entry *entry;

	entry = request.family == 4 ? bpf_map_lookup_elem(&ct4, &request.key) : bpf_map_lookup_elem(&ct6, &request.key);
	if (!entry || !ct_expired(entry, protocol_of(&request)) || !ct_end_is_untold(entry))
		return 0;
	return write_end(&request, entry, TELLER_USER_SPACE);
}

/* For the loader, which measures how fast it runs. */
SEC("syscall")
int read_jiffies(void *context __attribute__((unused)))
{
	return bpf_jiffies64();
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
