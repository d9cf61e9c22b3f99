package manpage

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestTextEscapesWhatMdocTakesForMacros(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"Print JSON.", "Print JSON.\n"},
		{"First. Second (default: x).", "First.\nSecond (default: x).\n"},
		{".Sh is no macro. .Nm neither. 'br", "\\&.Sh is no macro.\n\\&.Nm neither.\n\\&'br\n"},
		{`C:\dir`, `C:\edir` + "\n"},
		{"use --no-host", "use \\-\\-no-host\n"},
		{"two\n.lines", "two .lines\n"},
	} {
		if got := Text(tt.in); got != tt.want {
			t.Errorf("Text(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestArgumentStaysOneArgument(t *testing.T) {
	for in, want := range map[string]string{
		"ADDR": "ADDR", "a b": `"a b"`, "Fl": `"Fl"`, ".": `"."`, `say "x"`: `"say \(dqx\(dq"`, `\`: `\e`,
	} {
		if got := argument(in); got != want {
			t.Errorf("argument(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestFillReplacesPartsOnly(t *testing.T) {
	const page = "before\n.\\\" begin keys a b\nold\n.\\\" end\nafter\n"
	got, err := Fill(page, func(words []string) (string, error) { return strings.Join(words, "+") + "\n", nil })
	if want := "before\n.\\\" begin keys a b\nkeys+a+b\n.\\\" end\nafter\n"; err != nil || got != want {
		t.Errorf("Fill = %q, %v; want %q", got, err, want)
	}
	for about, page := range map[string]string{
		"no end":        ".\\\" begin x\n",
		"end alone":     ".\\\" end\n",
		"one in a part": ".\\\" begin x\n.\\\" begin y\n.\\\" end\n",
	} {
		if got, err := Fill(page, func([]string) (string, error) { return "", nil }); err == nil {
			t.Errorf("%s: Fill = %q; want an error", about, got)
		}
	}
}

func example(set bool) string {
	if set {
		return " example"
	}
	return ""
}

func TestTablesReadsCommentsAndValues(t *testing.T) {
	const file = `# About the file.

# Top key.
#top = 1

# The table.
[t]

# Set here.
#   "a" or "b"   means this,
#                going on
# Warning: look out.
set = "a"
bare = 2

#[[more]]
# Off with its table.
#off = 3
[t]
# Again.
set = "b"
# At last.
bare = 4
`
	tables := Tables(file)
	var got []string
	for _, tb := range tables {
		for _, k := range tb.Keys {
			got = append(got, tb.Name+" "+k.Name+" "+k.Value+example(k.Set))
		}
	}
	want := []string{" top 1", `[t] set "a" example`, "[t] bare 4 example", "[[more]] off 3 example"}
	if !slices.Equal(got, want) {
		t.Fatalf("keys = %q; want %q", got, want)
	}
	const text = ".Bl -tag -width Ds\n.It Ic set\nSet here.\n.Bl -tag -width Ds -compact\n.It Li \"\\(dqa\\(dq or \\(dqb\\(dq\"\nmeans this, going on\n.El\n" +
		".Pp\nWarning: look out.\n.Pp\nExample:\n.Li \\(dqa\\(dq\n"
	if got := tables[1].Text(); !strings.HasPrefix(got, text) {
		t.Errorf("Text = %q; want %q first", got, text)
	}
}

func TestSynopsisAndCommandShowArgumentsAndOptions(t *testing.T) {
	var c struct {
		Do struct {
			For  string   `required:"" xor:"o" placeholder:"TIME" help:"Do for this time."`
			End  bool     `required:"" xor:"o" help:"End."`
			Host bool     `short:"t" default:"true" negatable:"" help:"Check the host."`
			File []string `arg:"" optional:"" help:"Read these."`
		} `cmd:"" help:"Do it. Now."`
	}
	k, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Find(k.Model.Node, []string{"do"})
	if err != nil {
		t.Fatal(err)
	}
	if want := ".Nm dmarcgate\n.Cm do\n.Op Fl -host\n.Fl -for Ar TIME | Fl -end\n.Op Ar FILE ...\n"; Synopsis(n) != want {
		t.Errorf("Synopsis = %q; want %q", Synopsis(n), want)
	}
	want := "Do it.\nNow.\n.Bl -tag -width Ds\n.It Ar FILE\nRead these.\n.It Fl -for Ar TIME\nDo for this time.\n.It Fl -end\nEnd.\n.It Fl t , Fl -host , Fl -no-host\nCheck the host.\n.El\n"
	if got := Command(n); got != want {
		t.Errorf("Command = %q; want %q", got, want)
	}
	if got := Flags(want); !slices.Equal(got, []string{"--for", "--end", "-t", "--host", "--no-host"}) {
		t.Errorf("Flags = %q", got)
	}
	if _, err := Find(k.Model.Node, []string{"do", "more"}); err == nil {
		t.Error("Find found a subcommand that is not there")
	}
}

func TestWordsReturnsTheArgumentsOfAMacro(t *testing.T) {
	got := Words(".Ic a , b\n.Pq Ic c d\ntext Ic e\n.Xr f 8 ,\n.\\\" Ic g\n.It Ic h\n", "Ic")
	if want := []string{"a", "c d", "h"}; !slices.Equal(got, want) {
		t.Errorf("Words = %q; want %q", got, want)
	}
}
