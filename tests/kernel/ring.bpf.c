/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writes one numbered record a run, for tests of reading the ring; every `odd_one`th is of another size, or discarded. */
#include "bpf.h"

struct record {
	__u64 number;
	__u64 filling[10];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} ring SEC(".maps");

struct abi_exports {
	struct record record;
};
const struct abi_exports *const abi_exports SEC(".rodata") = 0;

struct settings {
	__u64 next;
	__u32 small_every;
	__u32 discard_every;
	__u64 lost;
};
volatile struct settings settings SEC(".data.settings");

SEC("tc")
int write_record(struct __sk_buff *skb __attribute__((unused)))
{
	__u64 number = settings.next++;
	struct record *record;
	__u64 *small;

	if (settings.small_every && number % settings.small_every == 0) {
		small = bpf_ringbuf_reserve(&ring, sizeof(*small), 0);
		if (small)
			bpf_ringbuf_submit(small, BPF_RB_NO_WAKEUP);
		return 0;
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		settings.lost++;
		return 1;
	}
	record->number = number;
	for (int i = 0; i < 10; i++)
		record->filling[i] = number;
	if (settings.discard_every && number % settings.discard_every == 0)
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(record, 0);
	return 0;
}

const char LICENSE[] SEC("license") = "GPL";
