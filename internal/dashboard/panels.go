package dashboard

import "fmt"

// kind is how a panel draws its queries.
type kind int

const (
	stat    kind = iota // a tile with one number for each series
	lines               // curves over time
	stacked             // areas over time, one upon the other
	bars                // a bar for each series
	table               // a line for each set of labels, a column for each query
	heatmap             // how often each class of a histogram was seen, over time
	states              // coloured stretches of time for each value
)

// panel is one panel. Its title is unique, since docs/monitoring.md names panels by title.
type panel struct {
	title   string
	kind    kind
	unit    string // of Grafana: short, percentunit, s, bytes, reqps
	width   int    // of 24 columns
	queries []query
	help    string // shown at the title
	bad     string // for stat: ">=1" colours a number from 1 up, "<1" a number below 1
	words   bool   // a stat that shows the labels instead of the number
}

// query is an expression and the name of its series. In an expression, @ stands for the
// selection of the job and the instance, @l for these and the listener.
type query struct{ expr, legend string }

func one(legend, expr string) []query { return []query{{expr, legend}} }

// row is a title with the panels below it.
type row struct {
	title  string
	panels []panel
}

// per is the rate of a counter, summed by labels.
func per(by, metric string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, metric)
}

// hourly is how often something was counted within the last hour.
func hourly(metric string) string { return "sum(increase(" + metric + "[1h])) or vector(0)" }

// quantile reads a histogram by its classic buckets, or else by its native ones: a
// Prometheus that takes native histograms has no others.
func quantile(q, by, metric, selector string) string {
	return fmt.Sprintf("histogram_quantile(%s, sum by (%s) (rate(%s_bucket{%s}[$__rate_interval]))) or histogram_quantile(%s, sum by (%s) (rate(%s{%s}[$__rate_interval])))",
		q, comma("le", by), metric, selector, q, by, metric, selector)
}

// mean is the mean of a histogram, classic or native.
func mean(by, metric, selector string) string {
	native := fmt.Sprintf("sum by (%s) (rate(%s{%s}[$__rate_interval]))", by, metric, selector)
	return fmt.Sprintf("%s / %s or histogram_sum(%s) / histogram_count(%s)",
		per(by, metric+"_sum{"+selector+"}"), per(by, metric+"_count{"+selector+"}"), native, native)
}

// percentiles are three curves of a histogram.
func percentiles(metric, selector string) []query {
	return []query{
		{quantile("0.50", "", metric, selector), "half of them within"},
		{quantile("0.95", "", metric, selector), "95 % within"},
		{quantile("0.99", "", metric, selector), "99 % within"},
	}
}

func comma(a, b string) string {
	if b == "" {
		return a
	}
	return a + ", " + b
}

// rows is the dashboard from top to bottom.
var rows = []row{
	{"Now", []panel{
		{title: "Messages each second", unit: "reqps", width: 4, queries: one("messages", per("", "dmarcgate_milter_messages_total{@l}"))},
		{title: "Share that passes DMARC", unit: "percentunit", width: 4, help: "Of the author domains that were evaluated.",
			queries: one("pass", per("", `dmarcgate_evaluations_total{@l,result="pass"}`)+" / "+per("", "dmarcgate_evaluations_total{@l}"))},
		{title: "Refused, last hour", unit: "short", width: 4, queries: one("refused", hourly(`dmarcgate_milter_messages_total{@l,action="reject"}`))},
		{title: "Quarantined, last hour", unit: "short", width: 4, help: "Tagged and delivered, or held by the MTA.",
			queries: one("quarantined", hourly(`dmarcgate_milter_messages_total{@l,action=~"tag|hold"}`))},
		{title: "Deferred, last hour", unit: "short", width: 4, help: "Answered with 4xx: the sender tries again.",
			queries: one("deferred", hourly(`dmarcgate_milter_messages_total{@l,action="tempfail"}`))},
		{title: "Policies not applied, last hour", unit: "short", width: 4, help: "Messages whose published policy was not applied, for a reason: a rule, the profile, pct or t=y.",
			queries: one("not applied", hourly(`dmarcgate_dispositions_total{@l,reason!=""}`))},
		{title: "Time of an answer, 99 % within", unit: "s", width: 4, help: "From the end of the message to the answer, while the MTA waits.",
			queries: one("99 %", quantile("0.99", "", "dmarcgate_milter_eom_duration_seconds", "@l"))},
		{title: "Lookups answered by the cache", unit: "percentunit", width: 4,
			queries: one("from the cache", per("", `dmarcgate_dns_cache_requests_total{@,outcome=~"hit|negative_hit|stale|coalesced"}`)+" / "+per("", "dmarcgate_dns_cache_requests_total{@}"))},
		{title: "Profile of each listener", unit: "percentunit", width: 8, help: "With the share of messages for which the profile is enforced.", words: true,
			queries: one("{{instance}} {{listener}}: {{profile}}", "dmarcgate_listener_info{@l} * on (job, instance, listener) group_left () dmarcgate_listener_enforce_share_ratio{@l}")},
		{title: "Health checks", unit: "short", width: 4, help: "The checks of /readyz: 1 passes, 0 fails.", bad: "<1", queries: one("{{check}}", "min by (check) (dmarcgate_ready{@})")},
		{title: "Name servers down", unit: "short", width: 4, bad: ">=1", queries: one("down", "sum(dmarcgate_dns_server_down{@})")},
		{title: "Listeners that check no mail", unit: "short", width: 4, help: "At least 90 % of the last 100 messages were not seen or could not be evaluated.", bad: ">=1",
			queries: one("{{warning}}", "sum by (warning) (dmarcgate_listener_warning{@l})")},
		{title: "Settings that wait for a restart", unit: "short", width: 4, bad: ">=1", queries: one("settings", "count(dmarcgate_config_restart_required{@} == 1) or vector(0)")},
		{title: "Different sets of rules", unit: "short", width: 4, help: "1 when all hosts have the same rules.", bad: ">1", queries: one("sets", "count(count by (sha256) (dmarcgate_ruleset_info{@}))")},
		{title: "Enforcement suspended for", unit: "s", width: 4, help: "Time until the end of the order of dmarcgate monitor; 0 without an order.", bad: ">=1",
			queries: one("left", "clamp_min(max(dmarcgate_monitor_until_timestamp_seconds{@}) - time(), 0)")},
		{title: "Configuration accepted", unit: "short", width: 4, help: "0: the last reload failed, and the previous settings are active.", bad: "<1",
			queries: one("accepted", "min(dmarcgate_config_last_reload_successful{@})")},
		{title: "Oldest row that waits for PostgreSQL", unit: "s", width: 4, help: "0 without PostgreSQL.",
			queries: one("age", "max((time() - dmarcgate_store_spool_oldest_timestamp_seconds{@}) * (dmarcgate_store_spool_records{@} > bool 0))")},
		{title: "Version", unit: "short", width: 8, words: true, queries: one("{{version}} on {{instance}}", "dmarcgate_build_info{@}")},
	}},
	{"Verdicts", []panel{
		{title: "Author domains by DMARC result", kind: stacked, unit: "reqps", width: 12, queries: one("{{result}}", per("result", "dmarcgate_evaluations_total{@l}"))},
		{title: "Policy requested and applied", kind: stacked, unit: "reqps", width: 12, help: "The policy that the domain published, the policy that was applied, and why the two differ.",
			queries: one("{{requested}} → {{applied}} {{reason}}", per("requested, applied, reason", "dmarcgate_dispositions_total{@l}")+" > 0")},
		{title: "Answers to the MTA", kind: stacked, unit: "reqps", width: 8, queries: one("{{action}}", per("action", "dmarcgate_milter_messages_total{@l}"))},
		{title: "Results by published policy", kind: stacked, unit: "reqps", width: 8, queries: one("p={{policy}} {{result}}", per("policy, result", `dmarcgate_evaluations_total{@l,result=~"pass|fail"}`))},
		{title: "Mechanism that made DMARC pass", kind: stacked, unit: "reqps", width: 8, queries: one("{{via}}", per("via", "dmarcgate_pass_total{@}"))},
		{title: "Messages that were not evaluated", kind: stacked, unit: "reqps", width: 8, queries: one("{{why}}", per("why", "dmarcgate_skipped_total{@l}"))},
		{title: "Evidence of the profile conformant", kind: stacked, unit: "reqps", width: 8, help: "What decided about failing messages under p=reject.",
			queries: one("{{evidence}}", per("evidence", "dmarcgate_conformant_evidence_total{@}"))},
		{title: "Results left open", kind: stacked, unit: "reqps", width: 8, help: "Author domains without a result: by whose fault.", queries: one("{{cause}}", per("cause", "dmarcgate_temperrors_total{@}"))},
		{title: "Messages whose client is not known", kind: stacked, unit: "reqps", width: 8, queries: one("{{why}}", per("why", "dmarcgate_unknown_client_total{@}"))},
		{title: "Where the record was found", kind: stacked, unit: "reqps", width: 8, queries: one("{{source}}", per("source", "dmarcgate_policy_source_total{@}"))},
		{title: "Tree walk and suffix list compared", kind: stacked, unit: "reqps", width: 8, help: "Only with compare = true.", queries: []query{
			{per("outcome", "dmarcgate_discovery_compared_total{@}"), "{{outcome}}"},
			{per("what", "dmarcgate_discovery_differences_total{@}"), "differs: {{what}}"},
		}},
	}},
	{"Override rules", []panel{
		{title: "Matches of each rule", kind: bars, unit: "short", width: 8, help: "The ten rules with the most matches in the time shown.",
			queries: one("{{rule}} {{mode}} {{action}}", "topk(10, sum by (rule, mode, action) (increase(dmarcgate_rule_matches_total{@}[$__range])))")},
		{title: "Reasons for not applying the policy", kind: stacked, unit: "reqps", width: 8, queries: one("{{reason}}", per("reason", `dmarcgate_dispositions_total{@l,reason!=""}`))},
		{title: "What rules in shadow mode would change", kind: table, unit: "short", width: 8, help: "Messages in the time shown whose answer the rule would have changed.",
			queries: one("messages", "sum by (rule, from, to) (increase(dmarcgate_rule_shadow_changes_total{@}[$__range]))")},
		{title: "Rules", kind: table, unit: "short", width: 16, help: "No date of expiry: the rule never expires. No match: none since the rule was written.", queries: []query{
			{"max by (rule) (dmarcgate_rule_last_match_timestamp_seconds{@} > 0) * 1000", "last match"},
			{"min by (rule) (dmarcgate_rule_expiry_timestamp_seconds{@}) * 1000", "expires"},
			{"sum by (rule) (increase(dmarcgate_rule_matches_total{@}[24h]))", "matches in 24 h"},
		}},
		{title: "Warnings about rules, and rules not enforced", unit: "short", width: 8, help: "A rule that this version refuses is not enforced.", bad: ">=1", queries: []query{
			{"max(dmarcgate_rules_warnings{@})", "warnings"},
			{"max(dmarcgate_rules_demoted{@})", "not enforced"},
		}},
		{title: "Set of rules on each host", kind: states, unit: "short", width: 24, help: "A new colour is a new set of rules.", queries: one("{{instance}}: {{rules}} rules, {{sha256}}", "dmarcgate_ruleset_info{@}")},
	}},
	{"Mechanisms", []panel{
		{title: "SPF results", kind: stacked, unit: "reqps", width: 8, queries: one("{{identity}} {{result}}", per("identity, result", "dmarcgate_spf_results_total{@}"))},
		{title: "DKIM signatures", kind: stacked, unit: "reqps", width: 8, queries: one("{{algorithm}} {{result}}", per("algorithm, result", "dmarcgate_dkim_signatures_total{@}"))},
		{title: "DKIM keys by size", kind: stacked, unit: "reqps", width: 8, queries: one("{{bits}} bits", per("bits", "dmarcgate_dkim_keys_total{@}"))},
		{title: "ARC chains", kind: stacked, unit: "reqps", width: 6, queries: one("{{result}}", per("result", "dmarcgate_arc_chains_total{@}"))},
		{title: "Defects of published records", kind: stacked, unit: "reqps", width: 6, queries: one("{{record}} {{defect}}", per("record, defect", "dmarcgate_record_malformed_total{@}"))},
		{title: "From fields without one author domain", kind: stacked, unit: "reqps", width: 6, queries: one("{{defect}}", per("defect", "dmarcgate_from_malformed_total{@}"))},
		{title: "Forged header fields removed", kind: stacked, unit: "reqps", width: 6, help: "Fields from outside that only this host may write.", queries: one("{{field}}", per("field", "dmarcgate_forged_fields_removed_total{@l}"))},
	}},
	{"Latency and milter sessions", []panel{
		{title: "Time of an answer", kind: lines, unit: "s", width: 8, help: "From the end of the message to the answer, while the MTA waits.", queries: percentiles("dmarcgate_milter_eom_duration_seconds", "@l")},
		{title: "Time of an answer, by how often", kind: heatmap, unit: "s", width: 8,
			queries: one("{{le}}", per("le", "dmarcgate_milter_eom_duration_seconds_bucket{@l}")+" or "+per("", "dmarcgate_milter_eom_duration_seconds{@l}"))},
		{title: "Mean wait for checks and store", kind: stacked, unit: "s", width: 8, help: "auth: SPF, DKIM, ARC and DMARC with their lookups. record: the commit of the row.",
			queries: one("{{stage}}", mean("stage", "dmarcgate_stage_duration_seconds", "@"))},
		{title: "Connections and messages in progress", kind: lines, unit: "short", width: 8, queries: []query{
			{"sum(dmarcgate_milter_sessions_active{@l})", "connections"},
			{"sum(dmarcgate_milter_messages_in_flight{@l})", "messages"},
			{"sum(dmarcgate_milter_sessions_limit{@l})", "limit of connections"},
		}},
		{title: "New connections", kind: lines, unit: "reqps", width: 8, queries: []query{
			{per("listener", "dmarcgate_milter_sessions_total{@l}"), "{{listener}}"},
			{per("listener", "dmarcgate_milter_accept_paused_total{@l}"), "{{listener}}: paused at the limit"},
			{per("listener", "dmarcgate_milter_sessions_cut_total{@l}"), "{{listener}}: cut by a shutdown"},
		}},
		{title: "Errors towards the MTA", kind: stacked, unit: "reqps", width: 8, help: "After an error the MTA uses its default action, in Postfix for the rest of the session.",
			queries: one("{{stage}} {{kind}}", per("stage, kind", "dmarcgate_milter_errors_total{@l}"))},
		{title: "Sizes of messages", kind: lines, unit: "bytes", width: 8, queries: percentiles("dmarcgate_milter_message_bytes", "@l")},
		{title: "Messages without a header", kind: stacked, unit: "reqps", width: 8, help: "Messages that ended before the end of their header, by the last part seen. envelope is normal.",
			queries: one("{{after}}", per("after", "dmarcgate_milter_transactions_without_header_total{@l}"))},
		{title: "Memory of headers", kind: lines, unit: "bytes", width: 8, queries: []query{
			{"sum(dmarcgate_milter_header_memory_bytes{@})", "taken"},
			{"sum(dmarcgate_milter_header_memory_limit_bytes{@})", "limit"},
		}},
		{title: "Headers that wait for memory", kind: lines, unit: "short", width: 12, queries: []query{
			{"sum(dmarcgate_milter_header_memory_waiting{@})", "waiting"},
			{per("", "dmarcgate_milter_header_memory_waits_total{@l}"), "had to wait, each second"},
			{per("", "dmarcgate_milter_header_memory_refused_total{@l}"), "deferred, each second"},
		}},
		{title: "Log lines lost", kind: stacked, unit: "reqps", width: 12, queries: one("{{why}}", per("why", "dmarcgate_log_lines_lost_total{@}"))},
	}},
	{"DNS", []panel{
		{title: "Share of lookups answered by the cache", kind: lines, unit: "percentunit", width: 8,
			queries: one("{{purpose}}", per("purpose", `dmarcgate_dns_cache_requests_total{@,outcome=~"hit|negative_hit|stale|coalesced"}`)+" / "+per("purpose", "dmarcgate_dns_cache_requests_total{@}"))},
		{title: "Lookups by outcome", kind: stacked, unit: "reqps", width: 8, queries: one("{{outcome}}", per("outcome", "dmarcgate_dns_cache_requests_total{@}"))},
		{title: "Time of a query, 95 % within", kind: lines, unit: "s", width: 8, queries: one("{{purpose}}", quantile("0.95", "purpose", "dmarcgate_dns_query_duration_seconds", "@"))},
		{title: "Queries to the name servers", kind: stacked, unit: "reqps", width: 8, help: "servfail, timeout, network and bogus are failures.", queries: one("{{result}}", per("result", "dmarcgate_dns_queries_total{@}"))},
		{title: "Name servers up, refusing, down", kind: states, unit: "short", width: 8, help: "0: answers. 1: refuses or drops queries. 2: does not answer.",
			queries: one("{{server}} on {{instance}}", "2 * dmarcgate_dns_server_down{@} or dmarcgate_dns_server_refusing{@}")},
		{title: "Queries in flight at each name server", kind: lines, unit: "short", width: 8, queries: []query{
			{"sum by (server) (dmarcgate_dns_window_used{@})", "{{server}}"},
			{"sum by (server) (dmarcgate_dns_window{@})", "{{server}}: at most"},
			{"sum(dmarcgate_dns_in_flight{@})", "wait for an answer"},
		}},
		{title: "Lookups that gave way", kind: stacked, unit: "reqps", width: 8, help: "Too many lookups were in progress. author: the verdict depends on the lookup.",
			queries: one("{{class}} {{by}}", per("class, by", "dmarcgate_dns_pressure_total{@}"))},
		{title: "Replies that match no query", kind: stacked, unit: "reqps", width: 8, help: "Forged replies, or a broken name server.", queries: one("{{why}}", per("why", "dmarcgate_dns_wrong_replies_total{@}"))},
		{title: "Entries of the cache", kind: lines, unit: "short", width: 4, queries: one("{{instance}}", "dmarcgate_dns_cache_entries{@}")},
		{title: "Size of the cache", kind: lines, unit: "bytes", width: 4, queries: []query{
			{"sum(dmarcgate_dns_cache_bytes{@})", "used"},
			{"sum(dmarcgate_dns_cache_limit_bytes{@})", "limit"},
		}},
		{title: "Entries that left the cache", kind: stacked, unit: "reqps", width: 24, queries: one("{{why}}", per("why", "dmarcgate_dns_cache_evictions_total{@}"))},
	}},
	{"Store and PostgreSQL", []panel{
		{title: "Rows written and lost", kind: stacked, unit: "reqps", width: 8, queries: []query{
			{per("outcome", "dmarcgate_store_records_total{@}"), "{{outcome}}"},
			{per("why", "dmarcgate_store_dropped_total{@}"), "lost: {{why}}"},
		}},
		{title: "Time of a commit", kind: lines, unit: "s", width: 8, queries: percentiles("dmarcgate_store_write_duration_seconds", "@")},
		{title: "Messages answered before their commit", kind: lines, unit: "reqps", width: 8, queries: one("late", per("", "dmarcgate_store_late_total{@}"))},
		{title: "Rows that wait for the writer", kind: lines, unit: "short", width: 8, queries: []query{
			{"sum(dmarcgate_store_queue_records{@})", "waiting"},
			{"sum(dmarcgate_store_queue_limit_records{@})", "limit"},
		}},
		{title: "Size of the store and free space", kind: lines, unit: "bytes", width: 8, help: "Below min_free, rows are dropped. A limit of 0 is no limit.", queries: []query{
			{"sum by (instance) (dmarcgate_store_bytes{@})", "{{instance}}: size"},
			{"sum by (instance) (dmarcgate_store_limit_bytes{@})", "{{instance}}: limit"},
			{"sum by (instance) (dmarcgate_store_free_bytes{@})", "{{instance}}: free"},
			{"sum by (instance) (dmarcgate_store_min_free_bytes{@})", "{{instance}}: min_free"},
		}},
		{title: "Rows deleted", kind: stacked, unit: "reqps", width: 8, help: "unshipped: PostgreSQL did not have the rows yet.", queries: one("{{why}}", per("why", "dmarcgate_store_deleted_total{@}"))},
		{title: "Time since the last commit", unit: "s", width: 4, queries: one("{{instance}}", "time() - (dmarcgate_store_last_success_timestamp_seconds{@} > 0)")},
		{title: "Rows are kept for", unit: "s", width: 4, help: "0 is for ever.", queries: one("{{instance}}", "dmarcgate_store_retention_seconds{@}")},
		{title: "Rows dropped for lack of space", unit: "short", width: 4, help: "1 while free space is below min_free.", bad: ">=1", queries: one("{{instance}}", "dmarcgate_store_guard{@}")},
		{title: "Store damaged or renewed, clock jumped", unit: "short", width: 6, help: "In the last 24 hours.", bad: ">=1", queries: []query{
			{"sum(increase(dmarcgate_store_damaged_total{@}[24h]))", "damaged"},
			{"sum(increase(dmarcgate_store_renewed_total{@}[24h]))", "renewed"},
			{"sum(increase(dmarcgate_clock_jumps_total{@}[24h]))", "jumps of a clock"},
		}},
		{title: "Rows that may hold addresses", unit: "short", width: 6, help: "Rows of earlier programs, see docs/store.md.", queries: one("{{where}}", "max by (where) (dmarcgate_store_uncleaned_records{@})")},
		{title: "Rows that wait for PostgreSQL", kind: lines, unit: "short", width: 8, queries: one("{{instance}}", "sum by (instance) (dmarcgate_store_spool_records{@})")},
		{title: "Rows and batches sent to PostgreSQL", kind: lines, unit: "reqps", width: 8, queries: []query{
			{per("", "dmarcgate_store_shipped_records_total{@}"), "rows taken"},
			{per("outcome", "dmarcgate_store_batches_total{@}"), "batches {{outcome}}"},
			{per("why", "dmarcgate_store_ship_refused_total{@}"), "rows refused: {{why}}"},
		}},
		{title: "PostgreSQL accepts rows", kind: states, unit: "short", width: 8, help: "1: accepts rows. 0: away, or not configured. 2: this store must not be shipped, the log has the fix.",
			queries: one("{{instance}}", "2 * dmarcgate_store_shipping_refused{@} > 0 or dmarcgate_store_shipping{@}")},
		{title: "Clock compared with PostgreSQL", kind: lines, unit: "s", width: 24, queries: one("{{instance}}", "dmarcgate_clock_skew_seconds{@}")},
	}},
	{"Aggregate reports", []panel{
		{title: "Report mail may leave", kind: states, unit: "short", width: 8, help: "1: mail may leave. 0: off, in the dry run, or waiting for the identity check. 2: paused, the log has the reason. 3: an error interrupts the work, the log has the cause.",
			queries: one("{{instance}}", `3 * dmarcgate_report_work{@,state="failing"} > 0 or on (job, instance) 2 * dmarcgate_report_paused{@} > 0 or on (job, instance) dmarcgate_report_gate_open{@}`)},
		{title: "Begin of the last closed day: ago", unit: "s", width: 4, help: "0: no day is closed yet.",
			queries: one("{{instance}}", "time() - (dmarcgate_report_last_closed_day_timestamp_seconds{@} > 0) or 0 * dmarcgate_report_last_closed_day_timestamp_seconds{@}")},
		{title: "Oldest report mail is overdue for", unit: "s", width: 4, queries: one("{{instance}}", "dmarcgate_report_oldest_due_seconds{@}")},
		{title: "Report mails possibly sent twice", unit: "short", width: 4, help: "A host died between the reply and the commit.", queries: one("{{instance}}", "dmarcgate_report_resent_after_crash{@}")},
		{title: "Suppressed destinations", unit: "short", width: 4, queries: one("{{source}}", "max by (source) (dmarcgate_report_suppressed{@})")},
		{title: "Reports planned", kind: stacked, unit: "short", width: 8, help: "In 24 hours. Without a word: due. Else the gate that holds the report back.", queries: one("{{why}}", "sum by (why) (increase(dmarcgate_reports_total{@}[24h]))")},
		{title: "Messages of closed days in reports", kind: stacked, unit: "short", width: 8, help: "In 24 hours.", queries: one("{{outcome}}", "sum by (outcome) (increase(dmarcgate_report_rows_total{@}[24h]))")},
		{title: "Deliveries of reports", kind: stacked, unit: "reqps", width: 8, queries: one("{{outcome}} {{class}}", per("outcome, class", "dmarcgate_report_deliveries_total{@}"))},
		{title: "Reports in the queue", kind: lines, unit: "short", width: 8, queries: one("{{state}}", "max by (state) (dmarcgate_reports{@})")},
		{title: "Deliveries in the queue", kind: lines, unit: "short", width: 8, queries: one("{{state}}", "max by (state) (dmarcgate_report_queue{@})")},
		{title: "Hosts missing in the last closed day", unit: "short", width: 8, help: "1: rows of the host were missing when the day was closed.", bad: ">=1",
			queries: one("{{host}}", "max by (host) (dmarcgate_report_silent_hosts{@})")},
		{title: "Bytes of reports", kind: lines, unit: "Bps", width: 4, queries: one("compressed", per("", "dmarcgate_report_bytes_total{@}"))},
		{title: "Time to make documents", kind: lines, unit: "s", width: 4, help: "In 24 hours: the documents of a day are made once.",
			queries: one("{{instance}}", "sum by (instance) (increase(dmarcgate_report_render_seconds_sum{@}[24h])) or histogram_sum(sum by (instance) (increase(dmarcgate_report_render_seconds{@}[24h])))")},
	}},
}
