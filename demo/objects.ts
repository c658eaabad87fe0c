/** What the demo applies, as its reader would write it. Pure. */

export const threeMistakes = (groupId: string): string => `apiVersion: v1
kind: Pod
metadata:
  name: mistaken
  annotations:
    sg.amazonaws.com/${groupId}: tpc:443,tcp:5050-5000,tcp:0
spec:
  containers: [{name: app, image: example.com/app}]
`

export const deployment = (groupId: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata:
      labels: {app: api}
      annotations:
        sg.amazonaws.com/${groupId}: tcp:5000-5050,tcp:443
    spec:
      containers: [{name: app, image: example.com/app}]
`

export const pod = (name: string, groupId: string, ports: string): string => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  annotations:
    sg.amazonaws.com/${groupId}: ${ports}
spec:
  containers: [{name: app, image: example.com/app}]
`

export const job = (groupId: string): string => `apiVersion: batch/v1
kind: Job
metadata: {name: report}
spec:
  template:
    metadata:
      annotations:
        sg.amazonaws.com/${groupId}: tcp:5432
        pod-complete.stage.kwok.x-k8s.io/delay: 3s
    spec:
      restartPolicy: Never
      containers: [{name: app, image: example.com/report}]
`
