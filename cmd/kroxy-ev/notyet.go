package main

import (
	"kroxy-ev/config"
)

// readConfig reads a configuration, and refuses what decodes but is not served yet.
func readConfig(path string) (*config.Config, []config.Problem, error) {
	cfg, warnings, err := config.Load(path)
	if err == nil {
		var more []config.Problem
		more, err = checkRoutes(cfg)
		warnings = append(warnings, more...)
	}
	if err == nil {
		err = config.AsError(notYet(cfg), nil)
	}
	if err != nil {
		return nil, warnings, err
	}
	return cfg, warnings, nil
}

// notYet is what of cfg is not served yet.
func notYet(cfg *config.Config) (list []config.Problem) {
	refuse := func(is bool, path, what string) {
		if is {
			list = append(list, cfg.Problem(path, what+" not served yet", "remove it"))
		}
	}
	for _, s := range cfg.Servers {
		for j, r := range s.Routes {
			refuse(j > 0 || r.Match != nil, r.Path, "more than one route is")
			refuse(len(r.To) != 1, r.Path, "anything but one group is")
		}
	}
	return list
}
