/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A cursor over the bytes of one frame.
 *
 * The verifier lets a program touch a byte only behind a comparison with data_end. All those
 * comparisons are here: a header is taken as a whole or not at all, so that the program proper
 * never sees a half-read one.
 */
#ifndef XDPHTTPD_CURSOR_H
#define XDPHTTPD_CURSOR_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct cursor {
	void *pos; /* the first byte not yet taken */
	void *end; /* one past the last byte of the frame's first buffer */
};

static __always_inline struct cursor cursor_begin(struct xdp_md *ctx)
{
	struct cursor cursor = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	return cursor;
}

/* Takes the next `size_bytes` bytes: where they begin, or NULL if the buffer ends before that. */
static __always_inline void *cursor_take(struct cursor *cursor, __u32 size_bytes)
{
	void *taken = cursor->pos;

	if (taken + size_bytes > cursor->end)
		return NULL;
	cursor->pos = taken + size_bytes;
	return taken;
}

/*
 * Goes on `offset_bytes` after `header`, a variable distance that the verifier must be able to
 * bound (an IHL of 4 bits can be). Whether that is still within the frame, the next take tells.
 */
static __always_inline void cursor_seek(struct cursor *cursor, void *header, __u32 offset_bytes)
{
	cursor->pos = header + offset_bytes;
}

#endif
