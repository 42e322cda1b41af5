/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Other addresses and ports for a packet: into its headers, with the checksums by what changes alone (RFC 1624), and into
 * those of the packet that an ICMP error quotes. What both packets should read like is given as struct packet.
 */
#pragma once

#include "parse.h"

#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define ICMP_CHECKSUM 2
#define ICMP_IDENTIFIER 4

/* A difference of one's complement sums, not yet folded; room for the words of two IPv6 addresses and more. */
__inline __u64 add_word(__u64 difference, __u32 from, __u32 to)
{
	return difference + (__u32)~from + to;
}

__inline __u32 fold_to_word(__u64 sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	return (sum & 0xFFFFFFFF) + (sum >> 32);
}

__inline __u64 address_difference(const struct address *from, const struct address *to)
{
	__u64 difference = 0;

	for (int i = 0; i < 4; i++)
		difference = add_word(difference, from->words[i], to->words[i]);
	return difference;
}

/* Both prefixes of mapped addresses are the same: the sum is that of the IPv4 addresses. */
__inline __u32 addresses_difference(const struct packet *from, const struct packet *to)
{
	return fold_to_word(address_difference(&from->source, &to->source) +
			    address_difference(&from->destination, &to->destination));
}

/* An echo has one identifier. */
__inline __u32 ports_word(const struct packet *packet)
{
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6)
		return packet->source_port;
	return packet->source_port | (__u32)packet->destination_port << 16;
}

__inline __u32 ports_difference(const struct packet *from, const struct packet *to)
{
	return fold_to_word(add_word(0, ports_word(from), ports_word(to)));
}

__inline __be16 checksum_after(__be16 checksum, __u32 difference)
{
	__u64 sum = (__u64)(__u16)~checksum + difference;

	sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return ~((sum & 0xFFFF) + (sum >> 16));
}

/* Where the upper layer's checksum stands in its header; 0 if it has none over what changes: SCTP's covers the ports, so
 * those are never changed.
 */
__inline __u32 checksum_place(const struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return TCP_CHECKSUM;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return UDP_CHECKSUM;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ICMP_CHECKSUM;
	default:
		return 0;
	}
}

/* ICMP's checksum has no pseudo-header of addresses in it. */
__inline bool covers_addresses(const struct packet *packet)
{
	return packet->protocol != IPPROTO_ICMP;
}

/* The helpers know of checksums that the device or the receiver has yet to complete. */
__inline long mend_upper_checksum(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	__u32 addresses = addresses_difference(from, to), ports = ports_difference(from, to);
	__u32 place = checksum_place(from);
	__u64 flags = from->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	long failed = 0;

	if (!place)
		return 0;
	place += from->l4_offset;
	if (covers_addresses(from))
		failed = bpf_l4_csum_replace(skb, place, 0, addresses, flags | BPF_F_PSEUDO_HDR);
	if (!failed && ports_word(from) != ports_word(to))
		failed = bpf_l4_csum_replace(skb, place, 0, ports, flags);
	return failed;
}

__inline long write_ipv4_addresses(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	__u32 addresses[2] = {to->source.words[3], to->destination.words[3]};
	__u32 at = from->l3_offset;
	__be16 checksum;

	if (bpf_skb_load_bytes(skb, at + __builtin_offsetof(struct iphdr, check), &checksum, sizeof(checksum)))
		return -1;
	checksum = checksum_after(checksum, addresses_difference(from, to));
	return bpf_skb_store_bytes(skb, at + __builtin_offsetof(struct iphdr, check), &checksum, sizeof(checksum), 0) ||
	       bpf_skb_store_bytes(skb, at + __builtin_offsetof(struct iphdr, saddr), addresses, sizeof(addresses), 0);
}

__inline long write_ipv6_addresses(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	struct address addresses[2] = {to->source, to->destination};

	return bpf_skb_store_bytes(skb, from->l3_offset + __builtin_offsetof(struct ipv6hdr, saddr), addresses,
				   sizeof(addresses), 0);
}

__inline long write_addresses(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	return from->family == 4 ? write_ipv4_addresses(skb, from, to) : write_ipv6_addresses(skb, from, to);
}

/* Ports, or the identifier of an echo. */
__inline long write_ports(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	__u32 ports = ports_word(to);

	if (ports == ports_word(from))
		return 0;
	if (from->protocol == IPPROTO_ICMP || from->protocol == IPPROTO_ICMPV6)
		return bpf_skb_store_bytes(skb, from->l4_offset + ICMP_IDENTIFIER, &to->source_port,
					   sizeof(to->source_port), 0);
	return bpf_skb_store_bytes(skb, from->l4_offset, &ports, sizeof(ports), 0);
}

/* The plain case written in place: TCP or UDP of IPv4 right behind a header without options. */
__inline bool rewrite_plain(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	__u32 *ports = (void *)(ip + 1);

	if (from->family != 4 || from->l4_offset != sizeof(struct ethhdr) + sizeof(*ip) ||
	    (void *)(ports + 1) > (void *)(long)skb->data_end)
		return false;
	ip->check = checksum_after(ip->check, addresses_difference(from, to));
	ip->saddr = to->source.words[3];
	ip->daddr = to->destination.words[3];
	*ports = ports_word(to);
	return true;
}

/* Makes the packet read like `to`. 0 or an error. A later fragment has addresses alone. */
__global int rewrite(struct __sk_buff *skb, const struct packet *from, const struct packet *to)
{
	if (!from || !to)
		return -1;
	if (from->flags & PACKET_LATER_FRAGMENT)
		return write_addresses(skb, from, to) ? -1 : 0;
	if (mend_upper_checksum(skb, from, to))
		return -1;
	if ((from->protocol == IPPROTO_TCP || from->protocol == IPPROTO_UDP) && rewrite_plain(skb, from, to))
		return 0;
	return write_addresses(skb, from, to) || write_ports(skb, from, to) ? -1 : 0;
}

/* The same of an ICMP error and of what it quotes. The quoted IPv4 header's own checksum makes up for its addresses; the
 * upper layer's, of which often nothing is quoted, stays as it is: nobody checks it.
 */
__global int rewrite_error(struct __sk_buff *skb, const struct packet *from, const struct packet *to,
			   const struct packet *quoted_from, const struct packet *quoted_to)
{
	__u64 difference;

	if (!from || !to || !quoted_from || !quoted_to)
		return -1;
	difference = ports_difference(quoted_from, quoted_to);
	if (from->family == 6)
		difference += (__u64)addresses_difference(quoted_from, quoted_to);
	if (bpf_l4_csum_replace(skb, from->l4_offset + ICMP_CHECKSUM, 0, fold_to_word(difference), 0))
		return -1;
	if (from->family == 6 && bpf_l4_csum_replace(skb, from->l4_offset + ICMP_CHECKSUM, 0,
						     addresses_difference(from, to), BPF_F_PSEUDO_HDR))
		return -1;
	return write_addresses(skb, from, to) || write_addresses(skb, quoted_from, quoted_to) ||
			       write_ports(skb, quoted_from, quoted_to)
		       ? -1
		       : 0;
}
