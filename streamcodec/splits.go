package streamcodec

import "kroxy-ev/balance"

// Splits shares out, for each route with several targets, what the route gets. R is a codec's route. It is for one loop; its
// zero value is ready for use.
type Splits[R any] struct {
	of map[*R]*balance.Weighted // as far as they were needed
}

// Next is the index of the target that gets what comes next. The route has n targets, with these weights.
func (s *Splits[R]) Next(r *R, n int, weight func(target int) int) int {
	split := s.of[r]
	if split == nil {
		weights := make([]int, n)
		for i := range weights {
			weights[i] = weight(i)
		}
		split = balance.NewWeighted(weights)
		if s.of == nil {
			s.of = make(map[*R]*balance.Weighted)
		}
		s.of[r] = split
	}
	return split.Next()
}
