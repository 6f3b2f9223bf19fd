/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The states a connection can be in. How it gets from one to the next: tcp_state.h. */
#pragma once

enum state {
	/* IP_VS_TCP_S_*, in the kernel's order */
	STATE_NONE,
	STATE_ESTABLISHED,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_SYNACK,
	/* of lasthop's own: one state a protocol */
	STATE_UDP,
	STATE_ICMP,
	STATE_COUNT,
};
