// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Hands the frames that are xdphttpd's to the AF_XDP socket of the RX queue they came in on, and
 * leaves every other frame to the kernel.
 *
 * Ours is: untagged Ethernet, IPv4 (options and all), not a fragment, TCP, to one of our ports, at
 * one of our addresses. The answer to anything else, and to a frame of ours whose queue has no
 * socket, is XDP_PASS. Nothing is ever dropped here: malformed packets, too, are the kernel's to
 * judge and to count.
 *
 * A VLAN tag that the driver has already moved out of the frame (RX VLAN offload) can't be seen
 * here. The check of the address keeps such frames away from us, unless `any_address` is on.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "cursor.h"

/* Bits of iphdr.frag_off (RFC 791 3.1). DF is left out: it is no sign of a fragment. */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff

/* What became of a frame: the index into `verdicts`. src/xdp/maps.rs has the same list. */
enum verdict {
	REDIRECTED,	   /* ours, handed to the queue's socket */
	PASS_EMPTY_SLOT,   /* ours, but the queue has no socket */
	PASS_NOT_IPV4,	   /* another EtherType: ARP, IPv6, VLAN */
	PASS_MALFORMED,	   /* lengths or version contradict each other or the frame */
	PASS_FRAGMENT,	   /* an IPv4 fragment, the first one included */
	PASS_NOT_TCP,	   /* another protocol over IPv4 */
	PASS_OTHER_PORT,   /* TCP, but not to one of our ports */
	PASS_OTHER_ADDRESS,/* to one of our ports, at an address that isn't ours */
	VERDICTS,
};

/* RX queue -> AF_XDP socket. Its size is set to the number of queues before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 64);
} xsks_map SEC(".maps");

/* Our TCP ports, network byte order. A set: the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be16);
	__type(value, __u8);
	__uint(max_entries, 64);
} ports SEC(".maps");

/* Our IPv4 addresses, network byte order. A set: the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, __u8);
	__uint(max_entries, 1024);
} addresses SEC(".maps");

/* One entry: not 0 means that a frame to any address at all is ours. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} any_address SEC(".maps");

/* Frames by verdict, one column a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, VERDICTS);
} verdicts SEC(".maps");

static __always_inline void count(enum verdict verdict)
{
	__u32 index = verdict;
	__u64 *frames = bpf_map_lookup_elem(&verdicts, &index);

	if (frames)
		*frames += 1;
}

static __always_inline int is_our_port(__be16 port)
{
	return bpf_map_lookup_elem(&ports, &port) != NULL;
}

static __always_inline int is_our_address(__be32 address)
{
	__u32 only = 0;
	__u32 *any = bpf_map_lookup_elem(&any_address, &only);

	if (any && *any)
		return 1;
	return bpf_map_lookup_elem(&addresses, &address) != NULL;
}

/* REDIRECTED stands for "is ours" here; whether there is a socket for it comes later. */
static __always_inline enum verdict classify(struct cursor frame, __u32 frame_bytes)
{
	__u32 header_bytes, total_bytes;
	struct ethhdr *eth;
	struct tcphdr *tcp;
	struct iphdr *ip;

	eth = cursor_take(&frame, sizeof(*eth));
	if (!eth)
		return PASS_MALFORMED;
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return PASS_NOT_IPV4;

	/* The frame may be longer than the packet (Ethernet pads to 60 bytes), never shorter. */
	total_bytes = frame_bytes - sizeof(*eth);
	ip = cursor_take(&frame, sizeof(*ip));
	if (!ip || ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) > total_bytes)
		return PASS_MALFORMED;
	total_bytes = bpf_ntohs(ip->tot_len);
	header_bytes = ip->ihl * 4;
	if (total_bytes < header_bytes)
		return PASS_MALFORMED;

	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return PASS_FRAGMENT;
	if (ip->protocol != IPPROTO_TCP)
		return PASS_NOT_TCP;
	if (total_bytes < header_bytes + sizeof(*tcp))
		return PASS_MALFORMED;

	cursor_seek(&frame, ip, header_bytes);
	tcp = cursor_take(&frame, sizeof(*tcp));
	if (!tcp)
		return PASS_MALFORMED;

	if (!is_our_port(tcp->dest))
		return PASS_OTHER_PORT;
	if (!is_our_address(ip->daddr))
		return PASS_OTHER_ADDRESS;
	return REDIRECTED;
}

static __always_inline int handle(struct xdp_md *ctx, __u32 frame_bytes)
{
	enum verdict verdict = classify(cursor_begin(ctx), frame_bytes);
	__u32 queue = ctx->rx_queue_index;

	if (verdict == REDIRECTED && !bpf_map_lookup_elem(&xsks_map, &queue))
		verdict = PASS_EMPTY_SLOT;
	count(verdict);
	if (verdict != REDIRECTED)
		return XDP_PASS;
	/* The low bits are the action should the socket have closed since the look-up. */
	return bpf_redirect_map(&xsks_map, queue, XDP_PASS);
}

/*
 * For frames of any size, which may lie in several buffers (Linux 5.18): the headers are in the
 * first one, and only that is between data and data_end.
 */
SEC("xdp.frags")
int xdphttpd(struct xdp_md *ctx)
{
	return handle(ctx, bpf_xdp_get_buff_len(ctx));
}

/* For kernels and drivers that know of one buffer a frame only. */
SEC("xdp")
int xdphttpd_plain(struct xdp_md *ctx)
{
	return handle(ctx, ctx->data_end - ctx->data);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
