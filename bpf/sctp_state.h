/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * LVS's states of an SCTP association: what net/netfilter/ipvs/ip_vs_proto_sctp.c does (sctp_states, set_sctp_state),
 * here a row for each state. INPUT is the originator's direction; INPUT_ONLY holds until a response is seen (LVS:
 * NOOUTPUT).
 *
 *   originator opens  INIT1, INIT (sent again), COOKIE_SENT (INIT ACK seen), COOKIE_REPLIED (COOKIE ECHO), ESTABLISHED
 *   responder opens   COOKIE_WAIT, COOKIE, COOKIE_ECHOED, ESTABLISHED
 *   INIT refused      REJECTED
 */
#pragma once

#include "abi.h"

/* In a packet's signals: a TCP RST, an SCTP ABORT or SHUTDOWN COMPLETE. It opens nothing, and anyone may have forged it. */
#define SIGNAL_RESET TCP_RST

enum sctp_direction { SCTP_INPUT, SCTP_OUTPUT, SCTP_INPUT_ONLY, SCTP_DIRECTIONS };

enum sctp_event {
	SCTP_EVENT_DATA, /* DATA, SACK, HEARTBEAT, and whatever else tells nothing of the association's state */
	SCTP_EVENT_INIT,
	SCTP_EVENT_INIT_ACK,
	SCTP_EVENT_COOKIE_ECHO,
	SCTP_EVENT_COOKIE_ACK,
	SCTP_EVENT_SHUTDOWN,
	SCTP_EVENT_SHUTDOWN_ACK,
	SCTP_EVENT_SHUTDOWN_COMPLETE,
	SCTP_EVENT_ERROR,
	SCTP_EVENT_ABORT,
};

/* Dimensions are powers of two, so that a masked index needs no branch. */
#define SCTP_ROW 16

static const __u8 sctp_events[SCTP_SHUTDOWN_COMPLETE + 1] = {
	[SCTP_INIT] = SCTP_EVENT_INIT,
	[SCTP_INIT_ACK] = SCTP_EVENT_INIT_ACK,
	[SCTP_ABORT] = SCTP_EVENT_ABORT,
	[SCTP_SHUTDOWN] = SCTP_EVENT_SHUTDOWN,
	[SCTP_SHUTDOWN_ACK] = SCTP_EVENT_SHUTDOWN_ACK,
	[SCTP_ERROR] = SCTP_EVENT_ERROR,
	[SCTP_COOKIE_ECHO] = SCTP_EVENT_COOKIE_ECHO,
	[SCTP_COOKIE_ACK] = SCTP_EVENT_COOKIE_ACK,
	[SCTP_SHUTDOWN_COMPLETE] = SCTP_EVENT_SHUTDOWN_COMPLETE,
};

/* Longest COOKIE ECHO behind which a chunk is looked for; the verifier must know that there is one. */
#define FARTHEST_CHUNK 16384

/* What a packet tells of its association: the event that its chunk is, in the upper four bits, and SIGNAL_RESET. */
static __always_inline __u8 sctp_signals(__u32 chunk_type)
{
	__u32 event = chunk_type <= SCTP_SHUTDOWN_COMPLETE ? sctp_events[chunk_type] : SCTP_EVENT_DATA;
	bool resets = event == SCTP_EVENT_ABORT || event == SCTP_EVENT_SHUTDOWN_COMPLETE;

	return event << 4 | (resets ? SIGNAL_RESET : 0);
}

/*
 * The type of the chunk that a packet is judged by: its first, but an ABORT behind a COOKIE ECHO or COOKIE ACK, as in LVS.
 * `available` bytes are the packet's from the chunk on. An ABORT that a driver left outside the linear part of the buffer
 * is not looked for: the association is then forgotten by its time-out.
 */
static __always_inline __u32 deciding_chunk(const struct sctp_chunk *chunk, const void *end, __u32 available)
{
	__u32 length = (ntohs(chunk->length) + 3) & ~3, type = chunk->type;
	const struct sctp_chunk *second;

	if (type != SCTP_COOKIE_ECHO && type != SCTP_COOKIE_ACK)
		return type;
	OPAQUE(length);
	if (length > FARTHEST_CHUNK || length + sizeof(*second) > available)
		return type;
	second = (const void *)chunk + length;
	if ((const void *)(second + 1) > end)
		return type;
	return second->type == SCTP_ABORT ? SCTP_ABORT : type;
}

#define NO STATE_SCTP_NONE
#define I1 STATE_SCTP_INIT1
#define IN STATE_SCTP_INIT
#define CS STATE_SCTP_COOKIE_SENT
#define CR STATE_SCTP_COOKIE_REPLIED
#define CW STATE_SCTP_COOKIE_WAIT
#define CO STATE_SCTP_COOKIE
#define CE STATE_SCTP_COOKIE_ECHOED
#define ES STATE_SCTP_ESTABLISHED
#define SS STATE_SCTP_SHUTDOWN_SENT
#define SR STATE_SCTP_SHUTDOWN_RECEIVED
#define SA STATE_SCTP_SHUTDOWN_ACK_SENT
#define RJ STATE_SCTP_REJECTED
#define CL STATE_SCTP_CLOSED
#define ROW(state) (state) - STATE_SCTP_NONE

/* clang-format off */
/* Columns: enum sctp_event. */
static const __u8 sctp_states[SCTP_DIRECTIONS][SCTP_ROW][SCTP_ROW] = {
	[SCTP_INPUT] = {
		/*            DA  IN  IA  CE  CA  SH  SA  SC  ER  AB */
		[ROW(NO)] = { ES, I1, CW, CR, ES, SR, CL, CL, CL, CL },
		[ROW(I1)] = { I1, IN, CW, IN, I1, I1, IN, CL, I1, CL },
		[ROW(IN)] = { IN, IN, CW, IN, IN, IN, IN, CL, IN, CL },
		[ROW(CS)] = { CS, CS, CS, CR, CS, CS, CS, CS, CS, CL },
		[ROW(CR)] = { CR, CR, CR, CR, CR, CR, CR, CR, CR, CL },
		[ROW(CW)] = { CW, CW, CO, CW, CW, CW, CW, CW, CW, RJ },
		[ROW(CO)] = { CO, CO, CO, CO, CO, CO, CO, CO, CO, CL },
		[ROW(CE)] = { CE, CE, CE, CE, ES, CE, CE, CE, CL, CL },
		[ROW(ES)] = { ES, ES, ES, ES, ES, SR, ES, ES, ES, CL },
		[ROW(SS)] = { SS, SS, SS, SS, SS, SS, CL, SS, SS, CL },
		[ROW(SR)] = { SR, SR, SR, SR, SR, SR, SR, SR, SR, CL },
		[ROW(SA)] = { SA, SA, SA, SA, SA, SA, CL, CL, SA, CL },
		[ROW(RJ)] = { RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		[ROW(CL)] = { CL, IN, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	[SCTP_OUTPUT] = {
		/*            DA  IN  IA  CE  CA  SH  SA  SC  ER  AB */
		[ROW(NO)] = { ES, CW, CS, CE, ES, SS, SA, CL, CL, CL },
		[ROW(I1)] = { I1, CW, CS, CE, ES, SS, SA, I1, CL, RJ },
		[ROW(IN)] = { IN, CW, CS, CE, ES, SS, SA, IN, CL, CL },
		[ROW(CS)] = { CS, CW, CS, CE, ES, SS, SA, CS, CL, CL },
		[ROW(CR)] = { CR, CW, CR, CE, ES, SS, SA, CR, CL, CL },
		[ROW(CW)] = { CW, CW, CW, CE, ES, SS, CW, CW, CW, CL },
		[ROW(CO)] = { CO, CW, CO, CE, ES, SS, CO, CO, CO, CL },
		[ROW(CE)] = { CE, CW, CE, CE, ES, SS, CE, CE, CE, CL },
		[ROW(ES)] = { ES, ES, ES, ES, ES, SS, ES, ES, ES, CL },
		[ROW(SS)] = { SS, CW, SS, SS, SS, SS, SA, SS, SS, CL },
		[ROW(SR)] = { SR, CW, SR, SR, SR, SR, SA, SR, SR, CL },
		[ROW(SA)] = { SA, CW, SA, SA, SA, SA, SA, SA, SA, CL },
		[ROW(RJ)] = { RJ, CW, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		[ROW(CL)] = { CL, CW, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	[SCTP_INPUT_ONLY] = {
		/*            DA  IN  IA  CE  CA  SH  SA  SC  ER  AB */
		[ROW(NO)] = { ES, I1, CE, ES, ES, SR, CL, CL, CL, CL },
		[ROW(I1)] = { I1, IN, CE, ES, I1, I1, IN, CL, I1, CL },
		[ROW(IN)] = { IN, IN, CE, ES, IN, IN, IN, CL, IN, CL },
		[ROW(CS)] = { CS, IN, CE, ES, ES, CS, CS, CL, CS, CL },
		[ROW(CR)] = { CR, IN, CE, ES, ES, CR, CR, CL, CR, CL },
		[ROW(CW)] = { ES, IN, CE, ES, CW, CW, CW, CW, CW, RJ },
		[ROW(CO)] = { CO, CO, CO, CO, ES, CO, CO, CO, CO, CL },
		[ROW(CE)] = { CE, CE, CE, CE, ES, CE, CE, CE, CE, CL },
		[ROW(ES)] = { ES, ES, ES, ES, ES, SR, CL, ES, ES, CL },
		[ROW(SS)] = { SS, SS, SS, SS, SS, SS, CL, SS, SS, CL },
		[ROW(SR)] = { SR, SR, SR, SR, SR, SR, SR, CL, SR, CL },
		[ROW(SA)] = { SA, SA, SA, SA, SA, SA, CL, CL, SA, CL },
		[ROW(RJ)] = { RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		[ROW(CL)] = { CL, IN, CL, CL, CL, CL, CL, CL, CL, CL },
	},
};
/* clang-format on */

#undef NO
#undef I1
#undef IN
#undef CS
#undef CR
#undef CW
#undef CO
#undef CE
#undef ES
#undef SS
#undef SR
#undef SA
#undef RJ
#undef CL
#undef ROW

/* The state after an SCTP packet; STATE_NONE before the first. */
static __always_inline __u32 next_sctp_state(__u32 state, __u8 signals, enum direction direction, bool replied)
{
	__u32 table = direction == RESPONSE ? SCTP_OUTPUT : replied ? SCTP_INPUT : SCTP_INPUT_ONLY;
	__u32 row = state > STATE_SCTP_NONE ? state - STATE_SCTP_NONE : 0;

	return sctp_states[table][row & (SCTP_ROW - 1)][signals >> 4];
}
