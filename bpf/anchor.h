/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What Python reads from the BTF of the object beside the maps: nothing else would keep it there. */
#pragma once

#include "abi.h"
#include "packet.h"

/* Enums that only code uses vanish from BTF; this keeps those that Python reads. */
const struct {
	enum limits limits;
	enum state state;
	enum direction direction;
	enum connection_flag connection_flag;
	enum table_id table_id;
	enum table_role table_role;
	enum resize_phase resize_phase;
	enum takeover_phase takeover_phase;
	enum choice choice;
	enum leg_flag leg_flag;
	enum service_flag service_flag;
	enum ruleset_flag ruleset_flag;
	enum server_flag server_flag;
	enum hop_flag hop_flag;
	enum fragment_kind fragment_kind;
	enum chosen_by chosen_by;
	enum entry entry;
	enum on_death on_death;
	enum template_flag template_flag;
	enum rule_value rule_value;
	enum service_id service_id;
	enum server_id server_id;
	enum reason reason;
	struct slice slice;
	struct repair repair;
	struct table table;
	struct probe_frame probe_frame;
	struct captured captured;
	struct probe_answer probe_answer;
} abi SEC(".rodata") = {};
