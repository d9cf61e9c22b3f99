package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// explanations are the reasons why changes survive, by key.
type explanations map[string]string

// readExplained reads the file of explanations: a line with the key of a
// change, then its reason in lines that begin with a blank. Lines that begin
// with # are comments. A file that is not there explains nothing.
func readExplained(path string) (explanations, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := explanations{}
	key := ""
	for n, line := range strings.Split(string(text), "\n") {
		reason := strings.TrimSpace(line)
		switch {
		case reason == "" || strings.HasPrefix(line, "#"):
		case line[0] != ' ' && line[0] != '\t':
			key = reason
			if _, twice := list[key]; twice {
				return nil, fmt.Errorf("%s:%d: explained twice", path, n+1)
			}
			list[key] = ""
		case key == "":
			return nil, fmt.Errorf("%s:%d: a reason without a change", path, n+1)
		default:
			list[key] = strings.TrimSpace(list[key] + " " + reason)
		}
	}
	for key, reason := range list {
		if reason == "" {
			return nil, fmt.Errorf("%s: no reason for %s", path, key)
		}
	}
	return list, nil
}

// of returns the keys of one package, sorted.
func (e explanations) of(folder string) []string {
	var keys []string
	for key := range e {
		if name, _, _ := strings.Cut(key, " "); name[:max(strings.LastIndexByte(name, '/'), 0)] == folder {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
