package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// phrases are riddles that once stood in documents and texts of the program,
// each with the plain text.
var phrases = []struct{ riddle, use string }{
	{"made from what anchors it", "derived from the anchor"},
	{"that failed and is wanted", "that should have been accepted"},
	{"of these rules; of all", "rules to test (default: all)"},
	{"how the store and PostgreSQL do", "status of store, PostgreSQL and hosts"},
	{"say what is wrong", "report errors"},
	{"with line and fix", "with line number and suggested fix"},
	{"it is no evidence", "history evidence disabled"},
	{"a loop does not turn", "health check failed"},
	{"told that all is well", "systemd watchdog ping"},
	{"dropped, mail goes on", "results not recorded; mail unaffected"},
	{"space is free beside the store", "free disk space below store.min_free"},
	{"anybody can write what it accepts", "matches only data that the sender controls"},
	{"as they were signed", "header hash verifies; body hash does not match"},
	{"rejected per DMARC policy for the message", "message has no usable From header field (RFC 5322)"},
	{"else as the profile has it", "default per profile"},
	{"whose existence is not known exists", "if the existence check fails, apply sp, not np"},
	{"none is none", `a stale negative answer means "no record"`},
	{"to fix it:", "fix:"},
	{"only watches until", "enforcement suspended until"},
	{"going on with what can be read", "continuing with the readable part"},
}

// logPronoun is a pronoun that leaves the reader of a single log line alone.
var logPronoun = regexp.MustCompile(`(?i)\b(it|its|itself|that|those|what|whom?|whose|which|they|them|ones)\b`)

// message returns the text of a call that writes a log line: the first argument
// of Debug, Info, Warn and Error, or the one behind a context.
func message(call *ast.CallExpr) (string, bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	name, behind := strings.CutSuffix(method.Sel.Name, "Context")
	at := 0
	if behind {
		at = 1
	}
	if at >= len(call.Args) || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name) {
		return "", false
	}
	return literal(call.Args[at])
}

// literal returns the value of a string literal, or of the literals of a sum.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		left, some := literal(e.X)
		right, more := literal(e.Y)
		return left + right, some || more
	}
	return "", false
}

// text is what the program says, and where.
type text struct{ where, says string }

// textsOf returns log lines, help texts and all string literals of the rooms
// that are shipped.
func textsOf(t *testing.T) (logs, helps, all []text) {
	t.Helper()
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		where := filepath.Join(s.room, filepath.Base(s.path))
		tags := make(map[*ast.BasicLit]bool)
		file, err := parser.ParseFile(token.NewFileSet(), s.path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				if n.Tag == nil {
					break
				}
				tags[n.Tag] = true
				tag, err := strconv.Unquote(n.Tag.Value)
				if help := reflect.StructTag(tag).Get("help"); err == nil && help != "" {
					helps = append(helps, text{where, help})
				}
			case *ast.CallExpr:
				if line, ok := message(n); ok {
					logs = append(logs, text{where, line})
				}
			case *ast.BasicLit:
				if says, ok := literal(n); ok && !tags[n] {
					all = append(all, text{where, says})
				}
			}
			return true
		})
	}
	if len(logs) < 90 || len(helps) < 100 || len(all) < 3000 {
		t.Fatalf("%d log lines, %d help texts and %d literals; want at least 90, 100 and 3000", len(logs), len(helps), len(all))
	}
	return logs, helps, all
}

func TestHelpAndLogLinesUseTheTermsOfTheField(t *testing.T) {
	logs, helps, _ := textsOf(t)
	for _, x := range slices.Concat(logs, helps) {
		for _, d := range denied {
			if m := d.phrase.FindString(x.says); m != "" {
				t.Errorf("%s: %q has %q; write %q", x.where, x.says, m, d.use)
			}
		}
	}
}

func TestLogLinesNameThingsInsteadOfUsingPronouns(t *testing.T) {
	logs, _, _ := textsOf(t)
	for _, x := range logs {
		if m := logPronoun.FindString(x.says); m != "" {
			t.Errorf("%s: the log line %q has %q; name the thing", x.where, x.says, m)
		}
	}
}

func TestTextsAndDocumentsHaveNoRiddles(t *testing.T) {
	_, helps, all := textsOf(t)
	all = append(all, helps...)
	for name, page := range documents(t) {
		all = append(all, text{name, strings.Join(strings.Fields(page), " ")})
	}
	for _, x := range all {
		for _, p := range phrases {
			if strings.Contains(strings.ToLower(x.says), strings.ToLower(p.riddle)) {
				t.Errorf("%s has %q; write %q", x.where, p.riddle, p.use)
			}
		}
	}
}
