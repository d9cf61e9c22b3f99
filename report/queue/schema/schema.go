// Package schema has the tables of the queue of reports, in the words of either
// database. results/pg makes them with its own tables, since the schema dmarcgate
// has one version.
package schema

import "strings"

// Tables returns the statements that make the tables, with the words that a database
// has for a number that counts up by itself, a time and bytes.
func Tables(serial, stamp, bytes string) string {
	return strings.NewReplacer("SERIAL", serial, "STAMP", stamp, "BYTES", bytes).Replace(text)
}

// Version is the version of the tables in a file. PostgreSQL counts it with its other
// tables.
const Version = 1

const text = `
CREATE TABLE report_run ( -- a UTC day
	day         STAMP PRIMARY KEY,
	state       text NOT NULL, -- open, closed, planned, done
	why         text NOT NULL,
	closed_at   STAMP,
	waited_for  text NOT NULL, -- hosts whose rows were missing, JSON
	upto        text NOT NULL, -- store: number of the last row that counts, JSON
	late_rows   bigint NOT NULL,
	lost_rows   bigint NOT NULL,
	left_out    text NOT NULL, -- why: messages that are in no report, JSON
	owner       text NOT NULL,
	lease_until STAMP
);
CREATE TABLE report (
	id            text PRIMARY KEY, -- Report-ID
	kind          text NOT NULL,    -- a aggregate, f failure
	policy_domain text NOT NULL,
	begin_at      STAMP NOT NULL,
	end_at        STAMP NOT NULL,   -- exclusive
	policy_hash   text NOT NULL,
	form          text NOT NULL,
	state         text NOT NULL,    -- planned, ready, done, withheld, withdrawn, split, failed, held
	why           text NOT NULL,
	rows          bigint NOT NULL,
	messages      bigint NOT NULL,
	records       bigint NOT NULL,
	size          bigint NOT NULL,  -- bytes of the document that is stored
	sha256        text NOT NULL,    -- of it, also when it was deleted
	created       STAMP NOT NULL,
	owner         text NOT NULL,
	lease_until   STAMP,
	next_try      STAMP NOT NULL
);
CREATE UNIQUE INDEX report_key ON report (policy_domain, begin_at, end_at, policy_hash, form) WHERE kind = 'a';
CREATE INDEX report_work ON report (state, next_try);
CREATE INDEX report_begin ON report (begin_at, state, why);
CREATE INDEX report_left ON report (state, begin_at);
CREATE TABLE report_body ( -- apart: a lease does not write it again
	report text PRIMARY KEY,
	body   BYTES NOT NULL -- gzip
);
CREATE TABLE delivery (
	id          SERIAL,
	report      text NOT NULL,
	rcpt_key    text NOT NULL, -- canonical address
	rcpt_host   text NOT NULL,
	uri         text NOT NULL,
	via         text NOT NULL, -- record, consent
	state       text NOT NULL, -- due, trying, sent, refused, expired, suppressed, unauthorized, withdrawn, withheld
	why         text NOT NULL,
	attempts    bigint NOT NULL,
	next_try    STAMP NOT NULL,
	first_try   STAMP,
	code        bigint NOT NULL,
	enhanced    text NOT NULL,
	text        text NOT NULL,
	mx_reply_id text NOT NULL,
	verp        text NOT NULL,
	suspected   bigint NOT NULL, -- copies that may have been sent
	UNIQUE (report, rcpt_key)
);
CREATE INDEX delivery_verp ON delivery (verp) WHERE verp <> '';
CREATE INDEX delivery_state ON delivery (state, next_try, why);
CREATE TABLE attempt ( -- committed before MAIL FROM
	delivery bigint NOT NULL,
	n        bigint NOT NULL,
	at       STAMP NOT NULL,
	owner    text NOT NULL,
	host     text NOT NULL, -- server that answered
	outcome  text NOT NULL, -- '' while it goes on, unknown when its host died
	PRIMARY KEY (delivery, n)
);
CREATE INDEX attempt_at ON attempt (at);
CREATE TABLE suppression (
	kind    text NOT NULL, -- addr, host, domain
	what    text NOT NULL,
	reason  text NOT NULL,
	source  text NOT NULL, -- bounce, manual, policy, dnsbl
	since   STAMP NOT NULL,
	until   STAMP, -- NULL: until it is lifted
	strikes bigint NOT NULL,
	PRIMARY KEY (kind, what)
);
CREATE TABLE destination_day ( -- rcpt_host '' is the sum of all
	rcpt_host text NOT NULL,
	day       STAMP NOT NULL,
	sent      bigint NOT NULL,
	bytes     bigint NOT NULL,
	failed    bigint NOT NULL,
	new_hosts bigint NOT NULL,
	PRIMARY KEY (rcpt_host, day)
);
CREATE TABLE report_sender ( -- the marks of the senders
	sender   text PRIMARY KEY,
	attempts bigint NOT NULL,
	day      STAMP
);
CREATE TABLE report_note (
	name text PRIMARY KEY,
	text text NOT NULL
);
`
