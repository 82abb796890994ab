// Runs the reference implementation of the Kubernetes attributes processor.
//
// It reads a Plan as JSON from standard input, starts the processor once for each case with the cluster of KUBECONFIG,
// waits until its caches are filled, sends it the requests, and writes an Outcome for each case, a line each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/k8sattributesprocessor"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// Plan is what is to be done.
type Plan struct {
	// Gates are the feature gates that are on, for the whole process.
	Gates []string `json:"gates"`
	Cases []Case   `json:"cases"`
}

// Case is a configuration of the processor and what it is sent.
type Case struct {
	Name     string         `json:"name"`
	Config   map[string]any `json:"config"`
	Requests []Request      `json:"requests"`
}

// Request is an OTLP request.
type Request struct {
	// Peer is the address that it comes from; empty for none.
	Peer string `json:"peer"`
	// Signal is logs, metrics or traces.
	Signal string `json:"signal"`
	// Body is OTLP/JSON.
	Body json.RawMessage `json:"body"`
}

// Outcome is what became of a case: an OTLP/JSON body for each request, or an error.
type Outcome struct {
	Case   string            `json:"case"`
	Bodies []json.RawMessage `json:"bodies,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// atOnce bounds how many processors live at the same time.
const atOnce = 4

type noExtensions struct{}

func (noExtensions) GetExtensions() map[component.ID]component.Component { return nil }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var plan Plan
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&plan); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	for _, gate := range plan.Gates {
		if err := featuregate.GlobalRegistry().Set(gate, true); err != nil {
			return err
		}
	}
	var (
		workers sync.WaitGroup
		lock    sync.Mutex
		output  = json.NewEncoder(os.Stdout)
		slots   = make(chan struct{}, atOnce)
		failed  error
	)
	for _, one := range plan.Cases {
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			outcome := Outcome{Case: one.Name}
			var err error
			if outcome.Bodies, err = one.run(); err != nil {
				outcome = Outcome{Case: one.Name, Error: err.Error()}
			}
			lock.Lock()
			defer lock.Unlock()
			failed = errors.Join(failed, output.Encode(outcome))
		})
	}
	workers.Wait()
	return failed
}

func (c *Case) run() (bodies []json.RawMessage, err error) {
	factory := k8sattributesprocessor.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(c.Config).Unmarshal(config); err != nil {
		return nil, err
	}
	if valid, ok := config.(interface{ Validate() error }); ok {
		if err := valid.Validate(); err != nil {
			return nil, err
		}
	}
	settings, err := newSettings(factory.Type(), c.Name)
	if err != nil {
		return nil, err
	}
	collected := make(chan json.RawMessage, 1)
	running := map[string]func(context.Context, []byte) error{}
	for _, request := range c.Requests {
		if running[request.Signal] == nil {
			started, send, err := start(factory, settings, config, request.Signal, collected)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, started.Shutdown(context.Background())) }()
			running[request.Signal] = send
		}
		ctx := context.Background()
		if request.Peer != "" {
			address := &net.TCPAddr{IP: net.ParseIP(request.Peer), Port: 4000}
			ctx = client.NewContext(ctx, client.Info{Addr: address})
		}
		if err := running[request.Signal](ctx, request.Body); err != nil {
			return nil, err
		}
		bodies = append(bodies, <-collected)
	}
	return bodies, nil
}

func newSettings(kind component.Type, name string) (processor.Settings, error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zap.WarnLevel)
	logger, err := config.Build()
	return processor.Settings{
		ID: component.NewIDWithName(kind, name),
		TelemetrySettings: component.TelemetrySettings{
			Logger:         logger.With(zap.String("case", name)),
			TracerProvider: tracenoop.NewTracerProvider(),
			MeterProvider:  noop.NewMeterProvider(),
			Resource:       pcommon.NewResource(),
		},
	}, err
}

// start starts the processor for one signal; the function that it returns sends it a body of OTLP/JSON.
func start(
	factory processor.Factory, settings processor.Settings, config component.Config, signal string,
	collected chan<- json.RawMessage,
) (started component.Component, send func(context.Context, []byte) error, err error) {
	ctx := context.Background()
	collect := func(body []byte, err error) error {
		if err == nil {
			collected <- body
		}
		return err
	}
	switch signal {
	case "logs":
		next, _ := consumer.NewLogs(func(_ context.Context, data plog.Logs) error {
			return collect((&plog.JSONMarshaler{}).MarshalLogs(data))
		})
		one, err := factory.CreateLogs(ctx, settings, config, next)
		if err != nil {
			return nil, nil, err
		}
		started, send = one, func(ctx context.Context, body []byte) error {
			data, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(body)
			if err != nil {
				return err
			}
			return one.ConsumeLogs(ctx, data)
		}
	case "metrics":
		next, _ := consumer.NewMetrics(func(_ context.Context, data pmetric.Metrics) error {
			return collect((&pmetric.JSONMarshaler{}).MarshalMetrics(data))
		})
		one, err := factory.CreateMetrics(ctx, settings, config, next)
		if err != nil {
			return nil, nil, err
		}
		started, send = one, func(ctx context.Context, body []byte) error {
			data, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(body)
			if err != nil {
				return err
			}
			return one.ConsumeMetrics(ctx, data)
		}
	case "traces":
		next, _ := consumer.NewTraces(func(_ context.Context, data ptrace.Traces) error {
			return collect((&ptrace.JSONMarshaler{}).MarshalTraces(data))
		})
		one, err := factory.CreateTraces(ctx, settings, config, next)
		if err != nil {
			return nil, nil, err
		}
		started, send = one, func(ctx context.Context, body []byte) error {
			data, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(body)
			if err != nil {
				return err
			}
			return one.ConsumeTraces(ctx, data)
		}
	default:
		return nil, nil, fmt.Errorf("no signal %q", signal)
	}
	if err := started.Start(ctx, noExtensions{}); err != nil {
		return nil, nil, errors.Join(err, started.Shutdown(ctx))
	}
	return started, send, nil
}
