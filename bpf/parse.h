/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From bytes to one struct packet for both families. Every reader takes the cursor, checks that its header lies before
 * the end of the linear data, fills in what it knows, advances and returns 0; PARSE_MORE asks for more linear data, any
 * other value is the enum reason that the packet is dropped for. Nothing that does not parse is let through.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "abi.h"
#include "address.h"
#include "bpf.h"

enum parse_result {
	PARSE_MORE = 1,  /* pull more bytes into the linear part and try again */
	PARSE_OTHER = 2, /* neither IPv4 nor IPv6 */
};

enum packet_flag {
	PACKET_FIRST_FRAGMENT = 1, /* more follow, this one has the ports */
	PACKET_LATER_FRAGMENT = 2, /* no ports, see fragment.h */
	PACKET_ICMP_ERROR = 4,     /* quotes another packet at l4_offset + 8 */
	PACKET_ECHO_REQUEST = 8,
	PACKET_ECHO_REPLY = 16,
	PACKET_STATELESS = 32, /* no conntrack entry: ICMP other than echo */
	PACKET_NO_PORT = 64,   /* a protocol without ports: only rules without ports speak of it */
};

struct packet {
	struct address source;
	struct address destination;
	__be16 source_port; /* ICMP echo: the identifier in both */
	__be16 destination_port;
	__u32 fragment_id;
	__u32 length;
	__u16 l3_offset;
	__u16 l4_offset;
	__u8 family;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 flags; /* enum packet_flag */
	__u8 hop_limit;
	__u8 pad;
};

/* The first eight bytes, alike in ICMP and ICMPv6. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier; /* of an echo */
	__be16 sequence;
};

/* An IPv6 extension header; the last two fields are those of a fragment's. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__u32 id;
};

/* At the quoted packet of an ICMP error only eight bytes behind the IP header are sure to be there. */
struct cursor {
	void *at;
	void *end;
	void *start;
};

#define TCP_FLAGS_OFFSET 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1FFF
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define MAX_EXTENSION_HEADERS 8
#define ICMP_QUOTED 8
/* Enough for Ethernet, IPv6, extension headers and TCP, and for an ICMP error with what it quotes. */
#define LINEAR_BYTES 384

static const __u32 SHORTEST_TCP_PREFIX = TCP_FLAGS_OFFSET + 1;
static const __u32 SHORTEST_PORTS = 4;

__inline int read_ports(struct cursor *cursor, struct packet *packet)
{
	const __be16 *ports = cursor->at;

	if ((void *)(ports + 2) > cursor->end)
		return PARSE_MORE;
	packet->source_port = ports[0];
	packet->destination_port = ports[1];
	return 0;
}

/* Bytes of the frame behind the end of the packet are nobody's: the stack cuts them off, and a header that were read
 * there would hide the one that comes with the next fragment.
 */
__inline bool reaches(const struct packet *packet, __u32 bytes)
{
	return packet->l4_offset + bytes <= packet->l3_offset + packet->length;
}

/* The quoted start of a TCP header may end before the flags: they are then 0. */
__inline int read_tcp(struct cursor *cursor, struct packet *packet, bool quoted)
{
	const __u8 *header = cursor->at;

	if ((void *)(header + SHORTEST_TCP_PREFIX) > cursor->end)
		return quoted ? read_ports(cursor, packet) : PARSE_MORE;
	packet->tcp_flags = header[TCP_FLAGS_OFFSET];
	return read_ports(cursor, packet);
}

__inline bool is_icmp_error(const struct packet *packet)
{
	if (packet->protocol == IPPROTO_ICMPV6)
		return packet->icmp_type < ICMPV6_ECHO_REQUEST;
	return packet->icmp_type == ICMP_DEST_UNREACH || packet->icmp_type == ICMP_TIME_EXCEEDED ||
	       packet->icmp_type == ICMP_PARAMETERPROB;
}

__inline void classify_icmp(struct packet *packet, __be16 identifier)
{
	__u8 request = packet->protocol == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
	__u8 reply = packet->protocol == IPPROTO_ICMP ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;

	if (packet->icmp_type == request || packet->icmp_type == reply) {
		packet->flags |= packet->icmp_type == request ? PACKET_ECHO_REQUEST : PACKET_ECHO_REPLY;
		packet->source_port = identifier;
		packet->destination_port = identifier;
		return;
	}
	packet->flags |= PACKET_STATELESS;
	if (is_icmp_error(packet))
		packet->flags |= PACKET_ICMP_ERROR;
}

__inline int read_icmp(struct cursor *cursor, struct packet *packet)
{
	const struct icmp_header *header = cursor->at;

	if ((void *)(header + 1) > cursor->end)
		return PARSE_MORE;
	packet->icmp_type = header->type;
	packet->icmp_code = header->code;
	classify_icmp(packet, header->identifier);
	return 0;
}

/* What of the upper layer is read at least. */
__inline __u32 bytes_read(const struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return SHORTEST_TCP_PREFIX;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		return SHORTEST_PORTS;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return sizeof(struct icmp_header);
	default:
		return 0;
	}
}

__inline int read_l4(struct cursor *cursor, struct packet *packet, bool quoted)
{
	packet->l4_offset = cursor->at - cursor->start;
	if (!quoted && !reaches(packet, packet->flags & PACKET_LATER_FRAGMENT ? 0 : bytes_read(packet)))
		return REASON_INVALID_PACKET;
	if (packet->flags & PACKET_LATER_FRAGMENT)
		return 0;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return read_tcp(cursor, packet, quoted);
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		return read_ports(cursor, packet);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((packet->protocol == IPPROTO_ICMP) != (packet->family == 4))
			return REASON_INVALID_PACKET;
		return read_icmp(cursor, packet);
	default:
		packet->flags |= PACKET_NO_PORT;
		return 0;
	}
}

/* `offset` in units of eight bytes. A later fragment that starts inside the TCP header could change it (RFC 3128). */
__inline int note_fragment(struct packet *packet, __u32 id, __u16 offset, bool more)
{
	packet->fragment_id = id;
	if (offset == 0) {
		packet->flags |= more ? PACKET_FIRST_FRAGMENT : 0;
		return 0;
	}
	packet->flags |= PACKET_LATER_FRAGMENT;
	return offset == 1 && packet->protocol == IPPROTO_TCP ? REASON_INVALID_PACKET : 0;
}

/* What the header says of the packet's length is what will be counted and told. It may be less than what is here, for
 * frames are padded; more is a lie. Of packets too long for the field, which the kernel makes, it says nothing (BIG TCP).
 */
__inline bool length_is_true(struct __sk_buff *skb, struct packet *packet)
{
	__u32 here = skb->len - sizeof(struct ethhdr);
	__u32 nothing = packet->family == 4 ? 0 : sizeof(struct ipv6hdr);

	if (unlikely(packet->length == nothing && skb->gso_size))
		packet->length = here;
	return packet->length <= here;
}

__inline void take_ipv4(const struct iphdr *header, struct packet *packet)
{
	packet->family = 4;
	packet->protocol = header->protocol;
	packet->hop_limit = header->ttl;
	packet->length = bpf_ntohs(header->tot_len);
	map_ipv4(&packet->source, header->saddr);
	map_ipv4(&packet->destination, header->daddr);
}

__inline int read_ipv4(struct __sk_buff *skb, struct cursor *cursor, struct packet *packet, bool quoted)
{
	const struct iphdr *header = cursor->at;
	__u16 fragment;
	int result;

	if ((void *)(header + 1) > cursor->end)
		return PARSE_MORE;
	if (header->version != 4 || header->ihl < 5)
		return REASON_INVALID_PACKET;
	take_ipv4(header, packet);
	if (!quoted && !length_is_true(skb, packet))
		return REASON_INVALID_PACKET;
	fragment = bpf_ntohs(header->frag_off);
	if (unlikely(fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))) {
		result = note_fragment(packet, header->id, fragment & IP_FRAGMENT_OFFSET, fragment & IP_MORE_FRAGMENTS);
		if (result)
			return result;
	}
	cursor->at += header->ihl * 4;
	return read_l4(cursor, packet, quoted);
}

__inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_FRAGMENT;
}

/* Reads the extension header at `offset`, whose number is packet->protocol, and leaves the next one's number there.
 * Its length, or less than 0: the reason to drop.
 */
__global int read_extension(struct __sk_buff *skb, struct packet *packet, __u32 offset)
{
	struct extension header;
	__u16 fragment;
	int result;
	__u8 own;

	if (!packet)
		return -REASON_INVALID_PACKET;
	own = packet->protocol;
	if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)))
		return -REASON_INVALID_PACKET;
	packet->protocol = header.next;
	if (own == IPPROTO_AH)
		return (header.length + 2) * 4;
	if (own != IPPROTO_FRAGMENT)
		return (header.length + 1) * 8;
	if (packet->flags & PACKET_FIRST_FRAGMENT)
		return -REASON_INVALID_EXTENSION_HEADER; /* a fragment of a fragment: nobody sends such */
	fragment = bpf_ntohs(header.fragment);
	result = note_fragment(packet, header.id, fragment >> 3, fragment & 1);
	return result ? -result : (int)sizeof(header);
}

/* Steps over extension headers from `offset` on; packet->protocol becomes the upper layer's. A later fragment has no
 * upper layer. Where that starts, or less than 0: the reason to drop.
 */
__global int skip_extensions(struct __sk_buff *skb, struct packet *packet, __u32 offset)
{
	int length;

	if (!packet)
		return -REASON_INVALID_PACKET;
	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		if (!is_extension(packet->protocol) || packet->flags & PACKET_LATER_FRAGMENT)
			return offset;
		length = read_extension(skb, packet, offset);
		if (length < 0)
			return length;
		offset += length;
	}
	return -REASON_INVALID_EXTENSION_HEADER;
}

__inline void take_ipv6(const struct ipv6hdr *header, struct packet *packet)
{
	packet->family = 6;
	packet->protocol = header->nexthdr;
	packet->hop_limit = header->hop_limit;
	packet->length = bpf_ntohs(header->payload_len) + sizeof(*header);
	__builtin_memcpy(&packet->source, &header->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &header->daddr, sizeof(packet->destination));
}

__inline int read_ipv6(struct __sk_buff *skb, struct cursor *cursor, struct packet *packet, bool quoted)
{
	const struct ipv6hdr *header = cursor->at;
	int offset;

	if ((void *)(header + 1) > cursor->end)
		return PARSE_MORE;
	if (header->version != 6)
		return REASON_INVALID_PACKET;
	take_ipv6(header, packet);
	if (!quoted && !length_is_true(skb, packet))
		return REASON_INVALID_PACKET;
	/* A mapped address on the wire would be taken for the IPv4 address itself. */
	if (is_mapped(&packet->source) || is_mapped(&packet->destination))
		return REASON_INVALID_PACKET;
	cursor->at += sizeof(*header);
	if (is_extension(packet->protocol)) {
		offset = skip_extensions(skb, packet, cursor->at - cursor->start);
		if (offset < 0)
			return -offset;
		if (offset > LINEAR_BYTES)
			return REASON_INVALID_EXTENSION_HEADER;
		cursor->at = cursor->start + offset;
	}
	return read_l4(cursor, packet, quoted);
}

__inline int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	struct cursor cursor = {
		.at = (void *)(long)skb->data,
		.end = (void *)(long)skb->data_end,
		.start = (void *)(long)skb->data,
	};
	const struct ethhdr *header = cursor.at;

	if ((void *)(header + 1) > cursor.end)
		return PARSE_MORE;
	cursor.at += sizeof(*header);
	packet->flags = 0;
	packet->l3_offset = sizeof(*header);
	if (likely(header->h_proto == bpf_htons(ETH_P_IP)))
		return read_ipv4(skb, &cursor, packet, false);
	if (header->h_proto == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, &cursor, packet, false);
	return PARSE_OTHER;
}

/* TCP and UDP right behind an IP header without options, unfragmented: nearly all packets. Inlined where `parse` is a
 * call, which saves each of them 8 ns. False: ask `parse`.
 */
__inline bool parse_plain(struct __sk_buff *skb, struct packet *packet)
{
	struct cursor cursor = {.start = (void *)(long)skb->data, .end = (void *)(long)skb->data_end};
	const struct ethhdr *ethernet = cursor.start;
	const struct iphdr *ipv4 = (void *)(ethernet + 1);
	const struct ipv6hdr *ipv6 = (void *)(ethernet + 1);

	if ((void *)(ipv4 + 1) > cursor.end || skb->vlan_present)
		return false;
	if (likely(ethernet->h_proto == bpf_htons(ETH_P_IP))) {
		if (ipv4->version != 4 || ipv4->ihl != 5 ||
		    ipv4->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
			return false;
		take_ipv4(ipv4, packet);
		cursor.at = (void *)(ipv4 + 1);
	} else {
		if (ethernet->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ipv6 + 1) > cursor.end || ipv6->version != 6)
			return false;
		take_ipv6(ipv6, packet);
		cursor.at = (void *)(ipv6 + 1);
		if (is_mapped(&packet->source) || is_mapped(&packet->destination))
			return false;
	}
	packet->l3_offset = sizeof(*ethernet);
	packet->l4_offset = cursor.at - cursor.start;
	if (!length_is_true(skb, packet))
		return false;
	if (packet->protocol == IPPROTO_TCP)
		return reaches(packet, SHORTEST_TCP_PREFIX) && !read_tcp(&cursor, packet, false);
	return packet->protocol == IPPROTO_UDP && reaches(packet, SHORTEST_PORTS) && !read_ports(&cursor, packet);
}

/* Fills `packet`, which is all zero or as parse_plain left it. 0, PARSE_OTHER, or the reason to drop. */
__global int parse(struct __sk_buff *skb, struct packet *packet)
{
	int result;

	if (!packet)
		return REASON_INVALID_PACKET;
	if (unlikely(skb->vlan_present))
		return REASON_VLAN;
	for (int attempt = 0; attempt < 2; attempt++) {
		result = read_packet(skb, packet);
		if (likely(result != PARSE_MORE))
			return result;
		bpf_skb_pull_data(skb, skb->len < LINEAR_BYTES ? skb->len : LINEAR_BYTES);
	}
	return REASON_INVALID_PACKET;
}

/* The packet that an ICMP error quotes, into `quoted`, which is all zero. 0 or the reason to drop. */
__global int parse_quoted(struct __sk_buff *skb, const struct packet *error, struct packet *quoted)
{
	struct cursor cursor;
	__u32 offset;
	int result;

	if (!error || !quoted)
		return REASON_INVALID_PACKET;
	offset = error->l4_offset + ICMP_QUOTED;
	if (offset > LINEAR_BYTES || !reaches(error, ICMP_QUOTED))
		return REASON_INVALID_PACKET;
	bpf_skb_pull_data(skb, skb->len < LINEAR_BYTES ? skb->len : LINEAR_BYTES);
	cursor.start = (void *)(long)skb->data;
	cursor.end = (void *)(long)skb->data_end;
	cursor.at = cursor.start + offset;
	quoted->l3_offset = offset;
	result = error->family == 4 ? read_ipv4(skb, &cursor, quoted, true) : read_ipv6(skb, &cursor, quoted, true);
	/* What quotes a later fragment, or another error, belongs to no connection. */
	if (result || quoted->l4_offset + SHORTEST_PORTS > error->l3_offset + error->length ||
	    (quoted->flags & (PACKET_LATER_FRAGMENT | PACKET_STATELESS)))
		return REASON_INVALID_PACKET;
	return 0;
}
