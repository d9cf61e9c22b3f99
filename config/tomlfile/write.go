package tomlfile

import (
	"dmarcgate/term"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Write writes a document that holds nothing but what TOML can say; "" for an
// empty one. It panics at any other value.
func Write(doc map[string]any) string {
	if len(doc) == 0 {
		return ""
	}
	text, err := toml.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("settings that cannot be written: %v", err)) // they came out of a file
	}
	return string(text)
}

func Value(v reflect.Value) any {
	switch s, isText := v.Interface().(fmt.Stringer); {
	case isText:
		return s.String()
	case v.Kind() == reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, Value(v.Index(i)))
		}
		return list
	}
	return v.Interface()
}

// Quote writes printable text as a basic string of TOML, which has the escapes
// of Go for what is printable ASCII.
func Quote(s string) string { return strconv.Quote(term.Printable(s)) }

// QuoteList writes a list of such texts.
func QuoteList(values []string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Quote(v)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
