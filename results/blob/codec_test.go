package blob

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// there is what comes back of a row, by way of its columns.
func there(t *testing.T, r results.Row) results.Row {
	t.Helper()
	var e Encoder
	c, err := e.Columns(&r)
	if err != nil {
		t.Fatal(err)
	}
	c.Sequence = r.Sequence
	out, err := c.Row()
	if err != nil {
		t.Fatalf("reading what was written of %+v: %v", r, err)
	}
	return out
}

// Who adds a field to the facts or the decision is told here that the codec
// needs it, too.
func TestReadReturnsEveryField(t *testing.T) {
	want := filled()
	if got := there(t, want); !reflect.DeepEqual(got, want) {
		t.Errorf("row = %+v; want %+v", got, want)
	}
}

func TestReadReturnsEachFieldAlone(t *testing.T) {
	all := filled()
	eachField(reflect.ValueOf(&all).Elem(), func(name string, set func(*results.Row)) {
		var want results.Row
		set(&want)
		if got := there(t, want); !reflect.DeepEqual(got, want) {
			t.Errorf("row with %s alone = %+v; want %+v", name, got, want)
		}
	})
}

// eachField calls f for each field of Row, Facts and Decision, with a function
// that sets this field of another row.
func eachField(from reflect.Value, f func(name string, set func(*results.Row))) {
	for _, outer := range []string{"", "Facts", "Decision"} {
		part := func(v reflect.Value) reflect.Value {
			if outer == "" {
				return v
			}
			return v.FieldByName(outer)
		}
		for i := range part(from).NumField() {
			field := part(from).Type().Field(i)
			if !field.IsExported() { // never stored
				continue
			}
			f(outer+"."+field.Name, func(r *results.Row) { part(reflect.ValueOf(r).Elem()).Field(i).Set(part(from).Field(i)) })
		}
	}
}

func TestReadReturnsRowsOfMail(t *testing.T) {
	many := mixRow(3)
	for i := range 2000 {
		many.Facts.Recipients = append(many.Facts.Recipients, fmt.Sprintf("r%d.example", i%1500))
	}
	long := mixRow(4)
	long.Facts.Helo = strings.Repeat("h", 1<<17)
	zero := mixRow(5)
	zero.Facts.DKIM[0].SignedAt = time.Unix(0, 0).UTC()
	empty := mixRow(6)
	empty.Facts.Recipients = []string{"", "a.example", ""}
	two := mixRow(8)
	two.Facts.Authors = append(two.Facts.Authors, policy.Author{Domain: "second.example"}, policy.Author{})
	two.Decision.Author = "second.example"
	mapped := mixRow(9)
	mapped.Facts.Client = netip.MustParseAddr("::ffff:192.0.2.1")
	tests := map[string]results.Row{
		"nothing": {}, "a mixed row": mixRow(1), "two signatures": mixRow(10), "many recipients": many, "a long text": long,
		"signed in 1970": zero, "recipients without a domain": empty, "several authors": two, "a mapped address": mapped,
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			if got := there(t, want); !reflect.DeepEqual(got, want) {
				t.Errorf("row = %+v; want %+v", got, want)
			}
		})
	}
}

// The files were written by the first program with this codec. When a field is
// added they stay, and say that it is zero in older rows.
func TestReadAcceptsRowsOfOlderPrograms(t *testing.T) {
	text, err := os.ReadFile("testdata/row-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var want results.Row
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile("testdata/row-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	blob, err := hex.DecodeString(strings.Join(strings.Fields(string(lines)), ""))
	if err != nil {
		t.Fatal(err)
	}
	var e Encoder
	c, err := e.Columns(&want)
	if err != nil {
		t.Fatal(err)
	}
	c.Sequence, c.Blob = want.Sequence, blob
	if got, err := c.Row(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("row = %+v, %v; want %+v", got, err, want)
	} else if got.Facts.Ordinary() {
		t.Error("a row without report_traffic is ordinary mail; want not known")
	}
}

// The rows of testdata/row-2.hex were written by the program that had a line of code
// for each field in place of a table, from the rows of testdata/row-2.json. They are
// written as they were then, also by a program with more facts.
func TestEncoderWritesSameBytesAsBefore(t *testing.T) {
	text, err := os.ReadFile("testdata/row-2.hex")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := os.Open("testdata/row-2.json")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	next := json.NewDecoder(rows)
	var e Encoder
	lines := strings.Fields(string(text))
	if len(lines) != 3 {
		t.Fatalf("testdata/row-2.hex has %d rows; want 3", len(lines))
	}
	for i, line := range lines {
		var r results.Row
		if err := next.Decode(&r); err != nil {
			t.Fatal(err)
		}
		c, err := e.Columns(&r)
		if got := hex.EncodeToString(c.Blob); err != nil || got != line {
			t.Errorf("row %d is written as %s, %v; want %s", i, got, err, line)
		}
	}
}

func TestReadReturnsSettings(t *testing.T) {
	sizes := make(map[string]int)
	for _, text := range []string{"", "000000000000", "ffffffffffff", "00c0ffee1234", "00C0FFEE1234", "00c0ffee123", "00c0ffee12345", "00c0ffee123g", "pass"} {
		var e Encoder
		r := results.Row{Settings: text}
		c, err := e.Columns(&r)
		if err != nil {
			t.Fatal(err)
		}
		sizes[text] = len(c.Blob)
		if got := there(t, r).Settings; got != text {
			t.Errorf("Settings = %q; want %q", got, text)
		}
	}
	if got := sizes["ffffffffffff"] - sizes[""]; got != 8 {
		t.Errorf("12 digits take %d bytes; want 8", got)
	}
	e := Encoder{}
	e.begin()
	e.element(settingsNumber, 1<<48)
	data, _ := e.appendTo(nil)
	if r, err := (&Columns{Blob: data}).Row(); err == nil {
		t.Errorf("settings of 49 bits are %q; want an error", r.Settings)
	}
}

func TestReadReusesReader(t *testing.T) {
	var b Reader
	rows := []results.Row{filled(), mixRow(1), {}, mixRow(10), {Settings: "000000000000"}, filled()}
	for i, want := range rows {
		var e Encoder
		c, err := e.Columns(&want)
		if err != nil {
			t.Fatal(err)
		}
		c.Sequence = want.Sequence
		if i == 3 {
			if err := b.Read(&Columns{Blob: c.Blob[:len(c.Blob)-3]}, new(results.Row)); err == nil {
				t.Error("a row that was cut off was read")
			}
		}
		var got results.Row
		if err := b.Read(c, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("row = %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestReadSkipsUnknownFields(t *testing.T) {
	var e Encoder
	e.begin()
	in := e.open(1)
	e.number(99, 12345)
	deeper := e.open(98)
	e.text(1, "what is this")
	e.close(deeper)
	e.text(5, "mx.example")
	e.close(in)
	e.number(97, 1)
	data, err := e.appendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := new(Reader).begin(data)
	if err != nil {
		t.Fatal(err)
	}
	var got results.Row
	rowFields.read(m, &got)
	if want := (results.Row{Facts: policy.Facts{Helo: "mx.example"}}); m.err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("row = %+v, %v; want %+v", got, m.err, want)
	}
}

func TestEncoderWordsAreUnique(t *testing.T) {
	if len(wordNumbers) != len(words) || words[0] != "" {
		t.Errorf("%d different words of %d, the first %q; want all different, and the first empty", len(wordNumbers), len(words), words[0])
	}
}

// Numbers of enumerations are in files, both in columns and in blobs.
func TestEncoderNumbersAreFixed(t *testing.T) {
	for i, want := range []string{"none", "pass", "fail", "temperror", "permerror"} {
		if got := dmarc.Status(i).String(); got != want {
			t.Errorf("dmarc.Status(%d) = %s; want %s", i, got, want)
		}
	}
	for i, want := range []string{"none", "quarantine", "reject"} {
		if got, got2 := dmarc.Policy(i).String(), policy.Disposition(i).String(); got != want || got2 != want {
			t.Errorf("dmarc.Policy(%d) = %s, policy.Disposition = %s; want %s", i, got, got2, want)
		}
	}
	for i, want := range []string{"accept", "tag", "hold", "tempfail", "reject"} {
		if got := policy.Action(i).String(); got != want {
			t.Errorf("policy.Action(%d) = %s; want %s", i, got, want)
		}
	}
	for i, want := range []string{"none", "ours", "domain", "client", "pressure"} {
		if got := dmarc.Cause(i).String(); got != want {
			t.Errorf("dmarc.Cause(%d) = %s; want %s", i, got, want)
		}
	}
	if dmarc.Pass != resultPass || dmarc.Fail != resultFail || dmarc.PermError != resultPermError {
		t.Error("the numbers of results in SQL are not those of dmarc.Status")
	}
	if results.Answered != 0 || results.Deferred != 1 || results.Unanswered != 2 {
		t.Error("the numbers of the states have changed")
	}
}

func TestReadRejectsDamagedRows(t *testing.T) {
	var e Encoder
	r := mixRow(10)
	c, err := e.Columns(&r)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(c.Blob)
	for n := range whole {
		c.Blob = whole[:n]
		if _, err := c.Row(); err == nil && n < len(whole)-1 {
			// A row may end where a field of it ends, and only there.
			m, _ := new(Reader).begin(c.Blob)
			for m.next() {
			}
			if m.err != nil {
				t.Errorf("the first %d bytes of %d are a row", n, len(whole))
			}
		}
	}
	tests := map[string][]byte{
		"nothing":                        {},
		"JSON":                           []byte("{}"),
		"another version":                {2, 0},
		"more strings than bytes":        {1, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a string longer than the row":   {1, 1, 9, 'a'},
		"a length longer than the row":   {1, 0, 1<<1 | kindNested, 9},
		"an endless number":              {1, 0, 1 << 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"facts that are a number":        {1, 0, 1 << 1, 9},
		"a string that is a message":     {1, 0, 1<<1 | kindNested, 2, 5<<1 | kindNested, 0},
		"a word that does not exist":     {1, 0, 1<<1 | kindNested, 3, 5 << 1, 0xfe, 0x7f},
		"a string that does not exist":   {1, 0, 1<<1 | kindNested, 3, 5 << 1, 0xff, 0x7f},
		"an enumeration beyond one byte": {1, 0, 2<<1 | kindNested, 3, 1 << 1, 0x80, 2},
		"too many parts":                 tooManyParts(),
	}
	for name, data := range tests {
		if r, err := (&Columns{Blob: data}).Row(); err == nil {
			t.Errorf("%s: row %+v; want an error", name, r)
		}
	}
}

func tooManyParts() []byte {
	var e Encoder
	e.begin()
	in := e.open(1)
	for range maxNested {
		e.close(e.open(16))
	}
	e.close(in)
	e.nested = 0
	data, _ := e.appendTo(nil)
	return data
}

func TestEncoderRejectsRowWithTooManyParts(t *testing.T) {
	var e Encoder
	r := mixRow(1)
	r.Facts.DKIM = make([]policy.DKIM, maxNested)
	if _, err := e.Columns(&r); err == nil {
		t.Error("a row that cannot be read again was encoded")
	}
	r = mixRow(2)
	if _, err := e.Columns(&r); err != nil {
		t.Errorf("the row after it: %v", err)
	}
}

func TestEncoderReusesBuffers(t *testing.T) {
	var e Encoder
	r := mixRow(10)
	if got := testing.AllocsPerRun(100, func() { e.Columns(&r) }); got > 0 {
		t.Errorf("encoding a row allocates %v times; want 0", got)
	}
}

// What a blob says about its size is no reason to allocate so much.
func TestReadAllocatesInProportionToBlob(t *testing.T) {
	var e Encoder
	r := mixRow(10)
	c, err := e.Columns(&r)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"a row": bytes.Clone(c.Blob), "too many parts": tooManyParts(),
		"many strings": {1, 0xff, 0xff, 0xff, 0xff, 0x0f}, "empty strings": append([]byte{1, 0x80, 0x80, 1}, make([]byte, 1<<14)...),
		"a long string": {1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = (&Columns{Blob: data}).Row()
		runtime.ReadMemStats(&after)
		// A part takes two bytes, and up to half a kilobyte in a list that grows.
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(8<<10+512*len(data)); got > most {
			t.Errorf("%s: reading %d bytes allocated %d; want at most %d", name, len(data), got, most)
		}
	}
}

func FuzzReadBlob(f *testing.F) {
	var e Encoder
	for _, r := range []results.Row{{}, mixRow(1), mixRow(10), filled()} {
		c, err := e.Columns(&r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(c.Blob))
	}
	f.Add(tooManyParts())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Columns{Blob: data, Author: "a.example", PolicyDomain: "b.example"}
		r, err := c.Row()
		if _, bad := new(Encoder).Columns(&r); err == nil && bad == nil { // bad: it has as many parts as it may, and one is left out
			if again := there(t, r); !reflect.DeepEqual(again, r) {
				t.Errorf("row = %+v; want %+v as it was read", again, r)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	var e Encoder
	r := mixRow(10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Columns(&r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var e Encoder
	r := mixRow(10)
	c, err := e.Columns(&r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(c.Blob)), "B/row")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Row(); err != nil {
			b.Fatal(err)
		}
	}
}
