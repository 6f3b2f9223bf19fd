/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-1-3 of a connection's key: a keyed pseudo-random function (Aumasson, Bernstein: "SipHash: a fast short-input
 * PRF"; one compression and three finalisation rounds, as Linux's hsiphash, Rust's and Python's hash tables use it).
 * Who does not know the secret cannot choose addresses and ports that fall into one bucket.
 */
#pragma once

#include "packet.h"

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/*
 * The hash of a key: of its 40 bytes, or, if both addresses are IPv4, of the 16 that differ then. The message's
 * length is part of the hash, so that no IPv6 key meets an IPv4 key's by construction.
 */
static __always_inline __u64 hash_of(const struct connection_key *key, const __u64 *secret)
{
	const __u64 *words = (const __u64 *)key;
	const __u64 mapped = (__u64)htonl(0xffff);
	struct siphash s = {
		.v0 = secret[0] ^ 0x736f6d6570736575ULL,
		.v1 = secret[1] ^ 0x646f72616e646f6dULL,
		.v2 = secret[0] ^ 0x6c7967656e657261ULL,
		.v3 = secret[1] ^ 0x7465646279746573ULL,
	};

	if (likely(!(words[0] | words[2]) && (__u32)words[1] == mapped && (__u32)words[3] == mapped)) {
		sip_word(&s, words[1] >> 32 | (words[3] >> 32) << 32);
		sip_word(&s, words[4]);
		sip_word(&s, 16ULL << 56);
	} else {
		sip_word(&s, words[0]);
		sip_word(&s, words[1]);
		sip_word(&s, words[2]);
		sip_word(&s, words[3]);
		sip_word(&s, words[4]);
		sip_word(&s, 40ULL << 56);
	}
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
