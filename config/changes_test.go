package config

import (
	"fmt"
	"strings"
	"testing"
)

func changesOf(t *testing.T, before, after string) string {
	t.Helper()
	var files [2]*Config
	for i, text := range []string{before, after} {
		c, err := Parse("c.toml", []byte("authserv_id = \"mx.example\"\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = c
	}
	var out []string
	for _, c := range files[0].Changes(files[1]) {
		out = append(out, fmt.Sprintf("%s: %s -> %s", c.Key, c.Old, c.New))
	}
	return strings.Join(out, "\n")
}

func TestChangesNameKeysWithOldAndNewValue(t *testing.T) {
	second := strings.Replace(goodListener, "\"mta\"", "\"out\"", 1)
	second = strings.Replace(second, "m.sock", "o.sock", 1)
	var networks []string
	for i := range 30 {
		networks = append(networks, fmt.Sprintf("\"192.0.2.%d\"", i))
	}
	many := "trusted_networks = [" + strings.Join(networks, ", ") + "]\n"
	for _, tt := range []struct{ name, before, after, want string }{
		{"nothing", goodListener, goodListener, ""},
		{"a comment, and the order of listeners", goodListener + second, "# x\n" + second + goodListener, ""},
		{"a value", goodListener, strings.Replace(goodListener, "conformant", "strict", 1), `listener[mta].profile: "conformant" -> "strict"`},
		{"a key that comes", goodListener, "state_dir = \"/x\"\n" + goodListener, `state_dir:  -> "/x"`},
		{"a key that goes", "[dns]\nmax_in_flight = 7\n" + goodListener, goodListener, `dns.max_in_flight: 7 -> `},
		{"a list", goodListener + "trusted_networks = [\"192.0.2.1\", \"192.0.2.2\"]\n", goodListener + "trusted_networks = [\"192.0.2.2\", \"192.0.2.3\"]\n",
			`listener[mta].trusted_networks: ["192.0.2.1"] -> ["192.0.2.3"]`},
		{"a list in another order", goodListener + "trusted_networks = [\"192.0.2.1\", \"192.0.2.2\"]\n", goodListener + "trusted_networks = [\"192.0.2.2\", \"192.0.2.1\"]\n", ""},
		{"a long list", goodListener, goodListener + many, `listener[mta].trusted_networks:  -> ["192.0.2.0", "192.0.2.1", "192.0.2.2"`},
		{"a secret", "[store.postgres]\nurl = \"postgres://geheim@a/db\"\n" + goodListener, "[store.postgres]\nurl = \"postgres://hidden@b/db\"\n" + goodListener,
			`store.postgres.url: (not shown) -> (not shown)`},
		{"a secret that comes", goodListener, "[store.postgres]\nurl = \"postgres://geheim@a/db\"\n" + goodListener, `store.postgres.url:  -> (not shown)`},
		{"a long text", goodListener, "[reply]\nreject = \"DMARC" + strings.Repeat("x", 150) + "\"\n" + goodListener, `reply.reject:  -> "DMARC` + strings.Repeat("x", 150) + "\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := changesOf(t, tt.before, tt.after)
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != (got == "") || strings.Contains(got, "\n") {
				t.Errorf("Changes() = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestSocketModeForAllIsAWarning(t *testing.T) {
	for mode, want := range map[string]bool{"0666": true, "0662": true, "0777": true, "0660": false, "0600": false} {
		c, err := Parse("c.toml", []byte("authserv_id = \"mx.example\"\n"+goodListener+"socket_mode = \""+mode+"\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, p := range c.Warnings() {
			got = got || p.Key == "listener.socket_mode" && p.Line == 6
		}
		if got != want {
			t.Errorf("socket_mode %s: warnings %v; want one: %v", mode, c.Warnings(), want)
		}
	}
}

func TestChangesShowNoMoreThanALogLineHolds(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("x", maxShownValue):         strings.Repeat("x", maxShownValue),
		strings.Repeat("x", maxShownValue+1):       strings.Repeat("x", maxShownValue) + "…",
		strings.Repeat("x", maxShownValue-1) + "é": strings.Repeat("x", maxShownValue-1) + "…",
	} {
		if got := bounded(text); got != want {
			t.Errorf("bounded(%q) = %q; want %q", text, got, want)
		}
	}
}
