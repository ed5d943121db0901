package config

import "strings"

// nearest returns the words that a misspelt one probably means: the one within a
// small edit distance, else those that share most of its parts
// (timeout_ms: all the timeouts; log_format: format_log), else nil. A word with all
// of its parts is preferred to one that is more than one edit
// away (tls_ca_path: tls_client_ca_path, not tls_cert_path).
func nearest(word string, words []string) []string {
	if len(word) > 64 {
		return nil
	}
	word = strings.ReplaceAll(strings.ToLower(word), "ssl", "tls") // as other programs call it
	best, away := closest(word, words)
	if best != "" && away < 2 {
		return []string{best}
	}
	sharing, all := sharingMost(word, words)
	if best != "" && !all {
		return []string{best}
	}
	return sharing
}

// closest returns the word within a small edit distance of a misspelt one, or "",
// and the distance.
func closest(word string, words []string) (best string, away int) {
	folded := fold(word)
	most := min(3, max(1, len(folded)/3))
	for _, w := range words {
		f := fold(w)
		if len(f)-len(folded) > most || len(folded)-len(f) > most {
			continue // the distance is at least that
		}
		if d := distance(folded, f); d <= most {
			best, away, most = w, d, d-1
		}
	}
	return best, away
}

// sharingMost returns the words that share most of the parts of a misspelt one, at
// least half of its letters, and whether they have all of several
// parts.
func sharingMost(word string, words []string) (sharing []string, all bool) {
	shared := (len(word) + 1) / 2
	for _, w := range words {
		switch n := common(word, w); {
		case n > shared:
			sharing, shared = []string{w}, n
		case n == shared && n > 0:
			sharing = append(sharing, w)
		}
	}
	parts := strings.Count(word, "_")
	return sharing, parts > 0 && shared == len(word)-parts && sharing != nil
}

// fold removes what people vary in a name: case and separators.
func fold(s string) string { return separators.Replace(strings.ToLower(s)) }

var separators = strings.NewReplacer("_", "", "-", "", " ", "")

// common counts the letters in those parts of word (between underscores) that w has
// too.
func common(word, w string) int {
	n := 0
	for part := range strings.SplitSeq(strings.ToLower(word), "_") {
		if strings.Contains("_"+w+"_", "_"+part+"_") {
			n += len(part)
		}
	}
	return n
}

// distance returns the number of insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment), in bytes.
func distance(a, b string) int {
	const usual = 64 // longer words are rare
	var rows [3][usual + 1]int
	before, last, row := rows[0][:], rows[1][:], rows[2][:]
	if len(b) > usual {
		before, last, row = make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	}
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// DidYouMean returns a question that suggests the word meant by a misspelt one; ""
// if none is near.
func DidYouMean(word string, words []string) string {
	if near := nearest(word, words); near != nil {
		return didYouMean(near)
	}
	return ""
}

func didYouMean(words []string) string {
	if len(words) == 1 {
		return "did you mean " + quote(words[0]) + "?"
	}
	return "did you mean one of " + list(words) + "?"
}
