/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The director's own addresses. */
#pragma once

#include "packet.h"

static __always_inline bool is_local(const __u8 *address)
{
	struct local_key key = { .prefix_length = 128 };

	copy_address(key.address, address);
	return bpf_map_lookup_elem(&local, &key) != NULL;
}
