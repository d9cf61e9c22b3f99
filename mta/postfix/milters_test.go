package postfix

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseMiltersReadsWhatPostfixReads(t *testing.T) {
	accept := []Setting{{"default_action", "accept"}}
	for _, tt := range []struct {
		name, value string
		want        []Milter
	}{
		{"nothing", " ,\t", nil},
		{"commas, blanks and line ends separate", "unix:a.sock,inet:127.0.0.1:8891\n unix:/b", []Milter{{Address: "unix:a.sock"}, {Address: "inet:127.0.0.1:8891"}, {Address: "unix:/b"}}},
		{"settings in braces", "{ inet:h:1, connect_timeout=10s, default_action=accept }", []Milter{{"inet:h:1", []Setting{{"connect_timeout", "10s"}, {"default_action", "accept"}}}}},
		{"no comma behind the address", "{unix:a default_action=accept}", []Milter{{"unix:a", accept}}},
		{"a setting in braces of its own", "{ unix:a, { default_action = accept } } unix:b", []Milter{{"unix:a", accept}, {Address: "unix:b"}}},
		{"a value with a comma", "{ unix:a, { milter_connect_macros = j, _ } }", []Milter{{"unix:a", []Setting{{"milter_connect_macros", "j, _"}}}}},
		{"a macro of Sendmail in a value", "{ unix:a, { command_macros = {client_addr} j } }", []Milter{{"unix:a", []Setting{{"command_macros", "{client_addr} j"}}}}},
		{"an empty value", "{ unix:a, protocol= }", []Milter{{"unix:a", []Setting{{"protocol", ""}}}}},
		{"a parameter in braces", "${opendkim}, ${a?{b, c}}", []Milter{{Address: "${opendkim}"}, {Address: "${a?{b, c}}"}}},
		{"a parameter", "$opendkim, unix:a", []Milter{{Address: "$opendkim"}, {Address: "unix:a"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMilters(tt.value)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseMilters(%q) = %+v, %v; want %+v", tt.value, got, err, tt.want)
			}
		})
	}
}

func TestParseMiltersRefusesWhatPostfixRefuses(t *testing.T) {
	for _, value := range []string{
		"{ unix:a", "{ }", "unix:{a", "unix:a{}", "$a{", "$a}{", "{unix:a}b", "{ unix:a, accept }", "{ unix:a, =accept }", "{ unix:a, {x=1}y }",
		strings.Repeat("unix:a ", maxMilters+1),
	} {
		if got, err := ParseMilters(value); err == nil {
			t.Errorf("ParseMilters(%q) = %+v; want an error", value, got)
		}
	}
	if got, err := ParseMilters(strings.Repeat("unix:a ", maxMilters)); err != nil || len(got) != maxMilters {
		t.Errorf("ParseMilters of %d milters = %d, %v; want all", maxMilters, len(got), err)
	}
}

func TestMilterSettingOfSeveralIsTheLast(t *testing.T) {
	list, err := ParseMilters("{ unix:a, default_action=accept, default_action=reject }")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := list[0].Setting("default_action"); v != "reject" || !ok {
		t.Errorf("Setting(default_action) = %q, %v; want reject", v, ok)
	}
	if v, ok := list[0].Setting("protocol"); ok {
		t.Errorf("Setting(protocol) = %q; want none", v)
	}
}

func TestMilterSocketOfAChrootIsBelowTheQueueDirectory(t *testing.T) {
	for _, tt := range []struct {
		address          string
		chroot           bool
		network, at      string
		socketIsReadable bool
	}{
		{"unix:dmarcgate/milter.sock", false, "unix", "/q/dmarcgate/milter.sock", true},
		{"unix:dmarcgate/milter.sock", true, "unix", "/q/dmarcgate/milter.sock", true},
		{"unix:/run/a.sock", false, "unix", "/run/a.sock", true},
		{"unix:/run/a.sock", true, "unix", "/q/run/a.sock", true},
		{"local:/run/a.sock", false, "unix", "/run/a.sock", true},
		{"inet:localhost:8891", true, "tcp", "localhost:8891", true},
		{"inet:[::1]:8891", false, "tcp", "[::1]:8891", true},
		{"$name", false, "", "", false},
		{"unix:", false, "", "", false},
		{"pass:x", false, "", "", false},
	} {
		network, at, ok := Milter{Address: tt.address}.Socket("/q", tt.chroot)
		if network != tt.network || at != tt.at || ok != tt.socketIsReadable {
			t.Errorf("Socket of %q (chroot %v) = %q %q %v; want %q %q %v", tt.address, tt.chroot, network, at, ok, tt.network, tt.at, tt.socketIsReadable)
		}
	}
}

func FuzzParseMilters(f *testing.F) {
	for _, seed := range []string{"", "unix:a, { inet:h:1, { default_action = accept } }", "{ {a} }", "{{{{", "}}}", "{ a, { b = {c, d} } }", "unix:{a,b}", "{ a,b=\v}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := ParseMilters(value)
		if err != nil {
			return
		}
		text := FormatMilters(list)
		again, err := ParseMilters(text)
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Errorf("ParseMilters(%q) = %+v, written as %q, read as %+v, %v", value, list, text, again, err)
		}
		for _, m := range list {
			if len(m.Address) > len(value) || m.Address == "" {
				t.Errorf("ParseMilters(%q) has the address %q", value, m.Address)
			}
		}
	})
}
