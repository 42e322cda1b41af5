/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was decided about a packet, and by what. */
#pragma once

#include "ipcache.h"
#include "policy.h"

/* Source and destination as the packet travels. Egress is that of the side that opened the connection. */
struct decision {
	struct party source;
	struct party destination;
	struct answer egress;
	struct answer ingress;
	__u32 revision;
	__u8 reason;    /* enum reason; 0: let through */
	__u8 direction; /* enum direction */
	__u8 status;    /* enum ct_status */
	__u8 kind;      /* enum event_kind */
	__u32 active_egress;  /* of a staged decision: the rules of the active policies */
	__u32 active_ingress;
	__u32 service;  /* row of the service that led to the destination; 0: none */
	__u32 staged;   /* 1: made by the staged policies */
};
