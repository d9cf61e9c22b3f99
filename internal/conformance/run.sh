#!/bin/sh
# Runs the suites that other parties wrote and writes docs/conformance.md, of
# which it is the only writer. It fails without their data, and when a case
# fails.
#
# A suite is a test with one subtest for each case; it is counted here, so the
# page cannot claim what did not run.
set -eu
cd "$(dirname "$0")/../.."

DMARCGATE_TESTDATA=${DMARCGATE_TESTDATA:-$PWD/../shared/testdata}
export DMARCGATE_TESTDATA
[ -d "$DMARCGATE_TESTDATA" ] || {
	echo "conformance: no test data at $DMARCGATE_TESTDATA; set DMARCGATE_TESTDATA" >&2
	exit 1
}

page=docs/conformance.md
out=$(mktemp)
trap 'rm -f "$out" "$page.new"' EXIT
bad=0

cat >"$page.new" <<'TXT'
# Conformance

Written by `make conformance` from the test run; do not edit.

| suite | package | cases | passed |
|---|---|---|---|
TXT

# suite NAME PACKAGE TEST
suite() {
	CGO_ENABLED=0 go test -count=1 -v -run "^$3\$" "$2" >"$out" 2>&1 || bad=1
	passed=$(grep -c "^    --- PASS: $3/" "$out" || true)
	failed=$(grep -c "^    --- FAIL: $3/" "$out" || true)
	[ "$passed" -gt 0 ] || { cat "$out"; bad=1; }
	grep "^    --- FAIL" "$out" || true
	echo "| $1 | \`${2#./}\` | $((passed + failed)) | $passed |" >>"$page.new"
	echo "$1: $passed of $((passed + failed))"
}

suite "RFC 9989, Appendix B" ./auth/dmarc TestExamplesOfRFC9989
suite "Public suffix list vectors" ./auth/dmarc TestVectorsOfThePublicSuffixList
suite "RFC 7208 test suite" ./auth/spf TestSuiteOfRFC7208
suite "Mail::DKIM messages, judged by RFC 6376 and 8301" ./auth/dkim TestCorpusOfMailDKIM
suite "RFC 6376 and RFC 8463, samples" ./auth/dkim TestSamplesOfTheRFCs

[ "$bad" = 0 ] || { echo "conformance: not all cases passed; $page is unchanged" >&2; exit 1; }
mv "$page.new" "$page"
