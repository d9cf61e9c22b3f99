package message

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/receivedtest"
	"dmarcgate/internal/scale"
)

func TestParseReceivedReadsWhatTheServerWroteWhateverTheClientSays(t *testing.T) {
	m := receivedtest.Maker{Rand: rand.New(rand.NewPCG(5321, 3848)), By: "relay.receiver.example"}
	for i := range 2000 * scale.Of(t) {
		server, raw, want := m.Field()
		got, ok := ParseReceived(NewField(raw))
		if !ok || receivedtest.Want(got) != want {
			t.Fatalf("field %d, of %s\n%q\n= %+v, %v; want %+v", i, server, raw, got, ok, want)
		}
	}
}

// readForms are the forms in the table of docs/operations.md, by server.
func readForms(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	forms := make(map[string][]string)
	_, table, _ := strings.Cut(string(page), "| server | form of the field |\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			break
		}
		for _, code := range regexp.MustCompile("`([^`]*↵[^`]*|(?:from|by) [^`]*)`").FindAllStringSubmatch(cells[2], -1) {
			forms[strings.TrimSpace(cells[1])] = append(forms[strings.TrimSpace(cells[1])], code[1])
		}
	}
	return forms
}

func TestParseReceivedReadsTheFormsThatTheDocumentsList(t *testing.T) {
	forms := readForms(t)
	for _, f := range receivedtest.Forms {
		server, _, _ := strings.Cut(f.Server, " that ")
		if len(forms[server]) == 0 {
			t.Errorf("docs/operations.md does not list %s", server)
		}
	}
	if len(forms) < len(receivedtest.Forms) {
		t.Errorf("docs/operations.md lists %d servers; want at least %d", len(forms), len(receivedtest.Forms))
	}
	for server, list := range forms {
		for _, form := range list {
			for _, protocol := range []string{"ESMTP", "ESMTPS", "ESMTPSA"} {
				readForm(t, server, form, protocol)
			}
		}
	}
}

// readForm fills a form of the documents in, and reads it.
func readForm(t *testing.T, server, form, protocol string) {
	t.Helper()
	submission := strings.Contains(server, "submissions only")
	auth := protocol == "ESMTPSA"
	if submission && !auth || auth && !strings.Contains(form, "PROTOCOL") {
		return
	}
	if strings.Contains(form, "(Exim") {
		protocol = strings.ToLower(protocol)
	}
	value := strings.NewReplacer("(HELO HELO)", "(HELO h.example)", "HELO", "h.example", "NAME", "n.example", "USER", "u", "ADDRESS", "192.0.2.1", "HOST", "relay.example",
		"PROTOCOL", protocol, " ↵ ", "\r\n\t").Replace(form) + " id 1; Mon, 2 Nov 2026 10:00:00 +0000"
	want := Received{Helo: "h.example", Client: netip.MustParseAddr("192.0.2.1"), By: "relay.example", Authenticated: auth}
	if submission {
		want.Helo, want.Client = "", netip.Addr{}
	}
	if got, ok := ParseReceived(receivedField(value)); !ok || got != want {
		t.Errorf("%s: ParseReceived(%q) = %+v, %v; want %+v", server, value, got, ok, want)
	}
}

// TestParseReceivedReadsWhatRealServersWrote has fields in the form in which
// servers were seen to write them, with names and addresses of examples.
func TestParseReceivedReadsWhatRealServersWrote(t *testing.T) {
	files, err := os.ReadDir("testdata/received")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, f := range files {
		text, err := os.ReadFile("testdata/received/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for sample := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
			want, field, _ := strings.Cut(sample, "\n")
			seen = append(seen, f.Name())
			got, ok := ParseReceived(NewField([]byte(strings.ReplaceAll(field, "\n", "\r\n") + "\r\n")))
			if text := readText(got, ok); text != want {
				t.Errorf("%s: ParseReceived of\n%s\n= %s; want %s", f.Name(), field, text, want)
			}
		}
	}
	if seen = slices.Compact(seen); len(seen) < 10 {
		t.Errorf("there are fields of %q only", seen)
	}
}

// readText is what was read, as the files of testdata/received have it.
func readText(r Received, ok bool) string {
	if !ok {
		return "unreadable"
	}
	text := "client " + r.Client.String() + " helo " + r.Helo + " by " + r.By
	if !r.Client.IsValid() {
		text = "hidden by " + r.By
	}
	if r.Authenticated {
		text += " authenticated"
	}
	return text
}
