package main

import (
	"fmt"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
)

// checkRoutes finds what is wrong with the routes of a configuration, and warns of those that nothing reaches.
func checkRoutes(cfg *config.Config) (warnings []config.Problem, err error) {
	var bad []config.Problem
	for _, s := range cfg.Servers {
		shadows, problems := route.Check(s.Routes)
		bad = append(bad, routeProblems(cfg, problems)...)
		for _, shadow := range shadows {
			r, by := &s.Routes[shadow.Route], &s.Routes[shadow.By]
			earlier := by.Path
			if by.Name != by.Path {
				earlier = fmt.Sprintf("%q (%s)", by.Name, by.Path)
			}
			warnings = append(warnings, cfg.Problem(r.Path, "nothing reaches this route: "+earlier+", which is before it, takes all that it would",
				"put it first, or remove it"))
		}
	}
	return warnings, config.AsError(bad, nil)
}

// routeProblems are problems with routes at their places in the file.
func routeProblems(cfg *config.Config, problems []route.Problem) (list []config.Problem) {
	for _, p := range problems {
		list = append(list, cfg.Problem(p.Path, p.What, p.Remedy))
	}
	return list
}
