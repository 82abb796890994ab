// A candidate as client-go makes it: it stands for election with the cluster of KUBECONFIG, and writes "leading" and "following"
// to standard output, a line each. It ends, without a word to others, when its standard input does.
//
//	leases KIND NAMESPACE NAME IDENTITY LEASE RENEW RETRY
//
// KIND is lease, or configmap for an annotation of a ConfigMap.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		os.Exit(0)
	}()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 7 {
		return fmt.Errorf("seven arguments are needed")
	}
	kind, namespace, name, identity := arguments[0], arguments[1], arguments[2], arguments[3]
	var times [3]time.Duration
	for i, text := range arguments[4:] {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		times[i] = duration
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	var lock resourcelock.Interface
	if kind == "configmap" {
		lock = &configMapLock{client: client, namespace: namespace, name: name, identity: identity}
	} else {
		lock = &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: namespace, Name: name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		}
	}
	for {
		leaderelection.RunOrDie(context.Background(), leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: times[0], RenewDeadline: times[1], RetryPeriod: times[2],
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { fmt.Println("leading") },
				OnStoppedLeading: func() { fmt.Println("following") },
			},
		})
	}
}

// configMapLock keeps the record in an annotation, where client-go kept it before there were leases.
type configMapLock struct {
	client                    kubernetes.Interface
	namespace, name, identity string
	object                    *core.ConfigMap
}

func (l *configMapLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	object, err := l.client.CoreV1().ConfigMaps(l.namespace).Get(ctx, l.name, meta.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	l.object = object
	record := &resourcelock.LeaderElectionRecord{}
	text := []byte(object.Annotations[resourcelock.LeaderElectionRecordAnnotationKey])
	if len(text) > 0 {
		err = json.Unmarshal(text, record)
	}
	return record, text, err
}

func (l *configMapLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	l.object, err = l.client.CoreV1().ConfigMaps(l.namespace).Create(ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{
		Namespace: l.namespace, Name: l.name,
		Annotations: map[string]string{resourcelock.LeaderElectionRecordAnnotationKey: string(text)},
	}}, meta.CreateOptions{})
	return err
}

func (l *configMapLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	changed := l.object.DeepCopy()
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	changed.Annotations[resourcelock.LeaderElectionRecordAnnotationKey] = string(text)
	object, err := l.client.CoreV1().ConfigMaps(l.namespace).Update(ctx, changed, meta.UpdateOptions{})
	if err == nil {
		l.object = object
	}
	return err
}

func (l *configMapLock) RecordEvent(string) {}
func (l *configMapLock) Identity() string   { return l.identity }
func (l *configMapLock) Describe() string   { return l.namespace + "/" + l.name }
