"""Tests deploy.sh and the templates against moto, a simulator of AWS, and against a stub of `aws`.

    pip install 'moto[server,...]' boto3 awscli      # check.sh does
    python3 engine/deploy/test_deploy.py

moto creates networks, groups of instances, functions, roles and buckets from templates, as far as its API shows them. It
starts no instance, enforces no policy, and ignores alarms, placement groups and bucket policies in templates: those are
only linted, and the policy is read here.
"""

import ast
import base64
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from pathlib import Path

import boto3
import moto.cloudformation.models
from cfnlint.decode import cfn_yaml
from moto.server import ThreadedMotoServer

HERE = Path(__file__).resolve().parent
KMEANS = HERE.parent.parent / "kmeans" / "deploy"
DEPLOY = HERE / "deploy.sh"
REGION = "eu-central-1"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")) / "debug"
# A small Linux program that every machine has.
PROGRAM = shutil.which("true")
PROGRAMS = ("--program", PROGRAM, "--tool", PROGRAM)
NOT_BY_MOTO = {
    "AWS::CloudWatch::Alarm", "AWS::EC2::PlacementGroup", "AWS::EC2::SecurityGroupEgress", "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy",
}


def environment(home, **more):
    """An environment without any configuration of AWS."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CATENA_DEPLOY_POLL": "0.2",
        **more,
    }


def deploy(env, *arguments, code=0, on_line=lambda line: None):
    """Runs deploy.sh and returns its output."""
    said = []
    with subprocess.Popen(
        ["bash", str(DEPLOY), *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as run:
        # Its waits have limits; this one guards against a hang.
        limit = threading.Timer(100, run.kill)
        limit.start()
        for line in run.stdout:
            said.append(line)
            on_line(line)
        run.wait()
        limit.cancel()
    said = "".join(said)
    if run.returncode != code:
        raise AssertionError(f"deploy.sh {' '.join(arguments)}: expected {code}, got {run.returncode}:\n{said}")
    return said


class CommandLine(unittest.TestCase):
    """Commands that do not use AWS."""

    def setUp(self):
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.env = environment(self.home)

    def only(self, *tools):
        """An environment whose PATH has only these tools."""
        folder = self.home / "bin"
        folder.mkdir()
        for tool in tools:
            (folder / tool).symlink_to(shutil.which(tool))
        return {**self.env, "PATH": str(folder)}

    def test_a_dry_run_needs_neither_tools_nor_an_account(self):
        env = self.only("bash", "dirname", "mktemp", "rm", "date", "cat")
        said = deploy(env, "create", "--dry-run", "--kmeans", "--nodes", "3", "--cores", "0,2")
        steps = [
            "cargo build", "create-stack --stack-name catena-store", "aws s3 cp",
            "create-stack --stack-name catena-cluster", "create-stack --stack-name catena-kmeans", "wait until there are 2",
        ]
        places = [said.index(step) for step in steps]
        self.assertEqual(places, sorted(places))
        self.assertIn("--profile lambda", said)
        self.assertIn("ParameterKey=NodeCount\\,ParameterValue=3", said)
        self.assertIn("ParameterValue=0\\\\\\,2", said)
        network = ("--vpc", "vpc-1", "--nodes-subnet", "subnet-1", "--functions-subnet", "subnet-2")
        said = deploy(env, "create", "--dry-run", "--kmeans", *network)
        self.assertIn("ParameterKey=VpcId\\,ParameterValue=vpc-1", said)
        self.assertIn("ParameterKey=OwnVpc\\,ParameterValue=no", said)
        said = deploy(env, "delete", "--dry-run", "--with-data", "--name", "km")
        places = [said.index(stack) for stack in ("km-kmeans", "km-cluster", "aws s3 rm", "km-store")]
        self.assertEqual(places, sorted(places))
        deploy(env, "status", "--dry-run")
        said = deploy(env, "run", "--dry-run", "--data", "points.npy", "--job", "a", "--out", "here.csv")
        self.assertIn("aws s3 cp --only-show-errors points.npy s3://BUCKET/data/a/points.npy", said)
        self.assertIn("aws lambda invoke --function-name catena-kmeans", said)

    def test_errors_say_what_is_wrong(self):
        cases = [
            ([], 2, "Usage"),
            (["destroy"], 1, "`destroy` is not a command: use create, run, status or delete"),
            (["run", "--data", "a", "--k", "0"], 1, "--k: `0` does not match"),
            (["run", "--data", "a", "--set", "seed"], 1, "--set: `seed` does not match"),
            (["status", "--nodes", "3"], 1, "`--nodes` is not an option of status"),
            (["create", "--nodes"], 1, "--nodes needs a value"),
            (["create", "--nodes", "9"], 1, "`9` does not match [1-7]"),
            (["create", "--name", "Upper"], 1, "--name: `Upper`"),
            (["create", "--replicas", "3", "--dry-run"], 1, "3 replicas need at least 3 nodes, and there are 2"),
            (["create", "--min-members", "3", "--dry-run"], 1, "a cluster of 2 replicas has at most 2 members"),
            (["create", "--vpc", "vpc-1", "--dry-run"], 1, "needs all of --vpc, --nodes-subnet and --functions-subnet"),
            (["create", "--vpc", "here"], 1, "--vpc: `here` does not match"),
            (["status"], 1, "no region"),
            (["status", "--region", REGION], 1, "no valid AWS credentials"),
        ]
        for arguments, code, expected in cases:
            with self.subTest(arguments=arguments):
                self.assertIn(expected, deploy(self.env, *arguments, code=code))

    def test_missing_tools_are_named(self):
        env = self.only("bash", "dirname", "mktemp", "rm")
        self.assertIn("`aws` is missing: install", deploy(env, "create", code=1))


# A stub of `aws` whose stacks are files that contain their states.
STUB = r"""#!/usr/bin/env python3
import sys
from pathlib import Path
home = Path(sys.argv[0]).resolve().parent
call = sys.argv[1:]
with open(home / "calls", "a") as calls:
    print(*call, file=calls)
def stack():
    return home / ("stack-" + call[call.index("--stack-name") + 1].removeprefix("id-"))
match call[:2]:
    case ["sts", _]:
        print("1234\tsomebody")
    case ["cloudformation", "describe-stacks"]:
        if not stack().exists():
            sys.exit("Stack with id X does not exist")
        query = call[call.index("--query") + 1]
        if query.endswith("StackStatus"):
            print(stack().read_text())
        else:
            print(stack().read_text() + "\t" + "id-" + stack().name.removeprefix("stack-"))
            print("NodeCount\t2\nReplicas\t2\nMinMembers\t1\nBucket\tbucket\nClusterName\tone\nFunction\tkm\nEngine\ts3://a#b")
    case ["cloudformation", "delete-stack"]:
        stack().unlink()
    case ["cloudformation", "create-stack"]:
        stack().write_text((home / "becomes").read_text())
    case ["cloudformation", "update-stack"]:
        sys.exit("An error occurred (ValidationError): No updates are to be performed.")
    case ["cloudformation", "describe-stack-events"]:
        print("1\tBucket\tAWS::S3::Bucket\tCREATE_FAILED\tthe name is taken")
    case ["lambda", "invoke"]:
        at = (home / "calls").read_text().count("lambda invoke") - 1
        result = (home / f"result-{at}").read_text()
        Path(call[-1]).write_text(result)
        print("Unhandled" if "errorMessage" in result else "None")
    case ["ec2", "describe-managed-prefix-lists"]:
        print("pl-1")
    case ["ec2", "describe-instance-type-offerings"]:
        print((home / "zones").read_text() if (home / "zones").exists() else "zone-b\nzone-a")
    case ["ec2", "describe-subnets"]:
        subnet = call[call.index("--subnet-ids") + 1]
        print((home / subnet).read_text())
    case ["ec2", "describe-route-tables"]:
        main = any("association.main" in word for word in call)
        print((home / "main-routes").read_text() if main else "None")
    case ["s3api", "get-object"] if not (home / "record").exists():
        sys.exit("no such key")
    case _:
        print("bucket")
"""


class States(unittest.TestCase):
    """States of stacks that moto does not have."""

    def setUp(self):
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.env = environment(self.home, PATH=f"{self.home}:{os.environ['PATH']}", AWS_REGION=REGION)
        (self.home / "aws").write_text(STUB)
        (self.home / "aws").chmod(stat.S_IRWXU)
        self.becomes("CREATE_COMPLETE")

    def becomes(self, state):
        (self.home / "becomes").write_text(state)

    def create(self, code):
        # It fails at the end, because the record has no members.
        return deploy(self.env, "create", *PROGRAMS, "--wait", "0", code=code)

    def calls(self, what):
        """The calls of `aws` that contain a text."""
        return [call for call in (self.home / "calls").read_text().splitlines() if what in call]

    def test_a_stack_whose_creation_failed_is_deleted_and_created_again(self):
        (self.home / "stack-catena-store").write_text("ROLLBACK_COMPLETE")
        self.assertIn("its state is ROLLBACK_COMPLETE; deleting it first", self.create(code=1))
        self.assertEqual(len(self.calls("delete-stack --stack-name catena-store")), 1)
        self.assertEqual(len(self.calls("create-stack --stack-name catena-store")), 1)

    def test_a_stack_without_changes_is_kept(self):
        (self.home / "stack-catena-store").write_text("UPDATE_COMPLETE")
        self.assertIn("nothing to change", self.create(code=1))
        self.assertEqual(self.calls("delete-stack"), [])
        self.assertEqual(self.calls("create-stack --stack-name catena-store"), [])

    def test_a_failed_stack_stops_the_command(self):
        self.becomes("ROLLBACK_COMPLETE")
        said = deploy(self.env, "create", *PROGRAMS, code=1)
        self.assertIn("stack catena-store is ROLLBACK_COMPLETE", said)
        self.assertEqual(self.calls("catena-cluster"), [])

    def test_a_cluster_keeps_its_name_and_never_gets_a_used_one(self):
        create = ("create", *PROGRAMS, "--wait", "0", "--cluster-name", "two")
        (self.home / "record").touch()
        self.assertIn("this bucket has the record of an earlier cluster two", deploy(self.env, *create, code=1))
        (self.home / "stack-catena-cluster").write_text("CREATE_COMPLETE")
        self.assertIn("the nodes belong to the cluster one", deploy(self.env, *create, code=1))
        self.assertEqual(self.calls("-stack --stack-name catena-cluster"), [])

    def test_nothing_is_deleted_by_accident(self):
        (self.home / "stack-catena-cluster").write_text("CREATE_COMPLETE")
        self.assertIn("pass --yes to confirm", deploy(self.env, "delete", code=1))
        self.assertEqual(self.calls("delete"), [])
        deploy(self.env, "delete", "--yes")
        self.assertEqual(len(self.calls("delete-stack")), 1)
        self.assertEqual(self.calls("s3"), [], "the bucket is kept")
        # Deleting without a stack is not an error.
        deploy(self.env, "delete", "--yes", "--with-data")
        self.assertEqual(len(self.calls("delete-stack")), 1)

    def test_status_without_a_stack_has_its_own_exit_code(self):
        self.assertIn("catena-cluster               none", deploy(self.env, "status", code=3))
        self.assertIn("create the cluster first", deploy(self.env, "run", "--data", "a.npy", code=1))

    def test_a_driver_that_ends_is_invoked_again(self):
        for stack in ("catena-cluster", "catena-kmeans"):
            (self.home / f"stack-{stack}").write_text("CREATE_COMPLETE")
        run = ("run", "--data", "s3://bucket/data/a.npy", "--job", "a")
        again = '{"errorType": "Again", "errorMessage": "time is over, at round %d"}'
        dead = '{"errorMessage": "RequestId: %d Task timed out"}'
        for results, code, expected in [
            ([again % 1, dead % 1, again % 2, '{"points":5,"cost":1}'], 0, '"points": 5'),
            ([again % 1] * 4, 1, "the job does not go on: time is over, at round 1"),
            ([dead % at for at in range(3)], 1, "the job does not go on"),
            (['{"errorType": "Failed", "errorMessage": "row 3: \\"x\\" is no number"}'], 1, "row 3: "),
        ]:
            with self.subTest(expected=expected):
                (self.home / "calls").unlink(missing_ok=True)
                for at, result in enumerate(results):
                    (self.home / f"result-{at}").write_text(result)
                self.assertIn(expected, deploy(self.env, *run, code=code))
                self.assertEqual(len(self.calls("lambda invoke")), len(results))

    def test_a_deleted_cluster_is_not_a_healthy_one(self):
        (self.home / "stack-catena-store").write_text("CREATE_COMPLETE")
        said = deploy(self.env, "status", code=3)
        self.assertIn("there are no nodes: they were deleted, or creating them failed", said)
        self.assertIn("the bucket bucket is kept", said)
        (self.home / "stack-catena-store").write_text("DELETE_FAILED")
        deploy(self.env, "status", code=1)

    def test_the_zone_has_the_type(self):
        self.create(code=1)
        self.assertIn("ParameterKey=AvailabilityZone,ParameterValue=zone-a", self.calls("create-stack")[1])
        said = deploy(self.env, "create", *PROGRAMS, "--name", "b", "--zone", "zone-c", code=1)
        self.assertIn("zone zone-c has no instances of type r5.2xlarge; these have: zone-a, zone-b", said)
        (self.home / "zones").write_text("None")
        said = deploy(self.env, "create", *PROGRAMS, "--name", "c", "--instance-type", "x9.large", code=1)
        self.assertIn("has no instances of type x9.large", said)
        self.assertEqual(self.calls("--stack-name b-cluster --template") + self.calls("--stack-name c-cluster --template"), [])

    def test_an_existing_network_is_checked(self):
        network = ("--vpc", "vpc-1", "--nodes-subnet", "subnet-1", "--functions-subnet", "subnet-2")
        for one, two, routes, expected in [
            ("vpc-1\tzone-b", "vpc-2\tzone-b", "0.0.0.0/0\tNone", "subnet-2 is in vpc-2, not in vpc-1"),
            ("vpc-1\tzone-b", "vpc-1\tzone-a", "0.0.0.0/0\tNone", "the subnets are in two zones, zone-b and zone-a"),
            ("vpc-1\tzone-b", "vpc-1\tzone-b", "10.0.0.0/16\tNone", "subnet-1 has no route to S3"),
            ("vpc-1\tzone-b", "vpc-1\tzone-b", "10.0.0.0/16\tNone\nNone\tpl-1", "not all nodes became members"),
        ]:
            with self.subTest(expected=expected):
                (self.home / "subnet-1").write_text(one)
                (self.home / "subnet-2").write_text(two)
                (self.home / "main-routes").write_text(routes)
                self.assertIn(expected, deploy(self.env, "create", *PROGRAMS, *network, "--wait", "0", code=1))
        (call,) = self.calls("create-stack --stack-name catena-cluster")
        for parameter in ["VpcId,ParameterValue=vpc-1", "NodesSubnetId,ParameterValue=subnet-1", "AvailabilityZone,ParameterValue=zone-b"]:
            self.assertIn(f"ParameterKey={parameter}", call)

    def test_missing_members_are_an_error(self):
        said = self.create(code=1)
        self.assertIn("not all nodes became members within 0 minutes", said)
        self.assertIn("aws logs tail /catena/", said)


class Programs(unittest.TestCase):
    """Programs that do not run on a node."""

    def test_they_are_refused(self):
        home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (home / "aws").write_text(STUB)
        (home / "aws").chmod(stat.S_IRWXU)
        env = environment(home, PATH=f"{home}:{os.environ['PATH']}", AWS_REGION=REGION)
        program = home / "program"
        for content, expected in [
            (None, "does not exist"),
            (b"#!/bin/sh\n", "is not a Linux program"),
            (b"\x7fELF\0GLIBC_2.17\0GLIBC_2.39\0", "needs glibc 2.39"),
        ]:
            with self.subTest(expected=expected):
                if content is not None:
                    program.write_bytes(content)
                for programs in [("--program", program, "--tool", PROGRAM), ("--program", PROGRAM, "--tool", program)]:
                    self.assertIn(expected, deploy(env, "create", *map(str, programs), code=1))


def keep_defaults(resolve):
    """moto has previous values only of parameters that were given; the others keep their default."""

    def resolved(self, instance, incoming_params):
        known = [p for p in incoming_params if "ParameterValue" in p or p["ParameterKey"] in instance.parameters]
        return resolve(self, instance, known)

    return resolved


def record(cluster, members):
    """The part of a configuration record that deploy.sh reads."""
    nodes = {
        f"n-{i:032x}": {"name": f"i-{i}", "peer": f"10.74.0.{i}:7399", "clients": [f"10.74.0.{i}:7400"], "az": "euc1-az2"}
        for i in range(1, members + 1)
    }
    return json.dumps({"v": 1, "cluster": cluster, "epoch": members, "nodes": nodes}, separators=(",", ":")).encode()


class Deployment(unittest.TestCase):
    """A cluster's life on moto, from the first command to the last."""

    @classmethod
    def setUpClass(cls):
        # moto logs every request and every unknown resource.
        logging.disable()
        warnings.simplefilter("ignore")
        backend = moto.cloudformation.models.CloudFormationBackend
        backend._resolve_update_parameters = keep_defaults(backend._resolve_update_parameters)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        cls.addClassCleanup(server.stop)
        cls.url = "http://{}:{}".format(*server.get_host_and_port())
        cls.home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.home.cleanup)
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        cls.env = environment(cls.home.name, AWS_ENDPOINT_URL=cls.url, AWS_REGION=REGION, **keys)
        cls.session = boto3.Session("test", "test", region_name=REGION)

    def client(self, service):
        return self.session.client(service, endpoint_url=self.url)

    def create(self, *arguments):
        """Creates a cluster whose nodes become members when deploy.sh waits for them."""

        def join(line):
            if line.startswith("== members in s3://"):
                bucket, _, name, _ = line.split("//")[1].split("/")
                self.put_record(bucket, name, 2)

        # No other call may run meanwhile: moto creates some resources on request, and then twice.
        arguments = ("--name", "t", *PROGRAMS, "--bootstrap", PROGRAM, "--wait", "1", *arguments)
        return deploy(self.env, "create", *arguments, on_line=join)

    def put_record(self, bucket, name, members):
        body = record(name, members)
        self.client("s3").put_object(Bucket=bucket, Key=f"clusters/{name}/config.json", Body=body)

    def stacks(self, name):
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return [stack for stack in stacks if stack["StackName"] == name and stack["StackStatus"] != "DELETE_COMPLETE"]

    @staticmethod
    def parameter(stack, key):
        return next(p["ParameterValue"] for p in stack["Parameters"] if p["ParameterKey"] == key)

    def output(self, stack, key):
        return next(o["OutputValue"] for o in self.stacks(stack)[0]["Outputs"] if o["OutputKey"] == key)

    def resources(self, stack):
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        # moto does not return the names of all of them.
        named = [resource for resource in found if "LogicalResourceId" in resource]
        return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in named}

    def group(self):
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        self.assertEqual(len(groups), 1)
        return groups[0]

    def test_the_whole_life_of_a_cluster(self):
        said = self.create("--kmeans", "--run-on-upload", "yes", "--clusters", "25")
        self.assertIn("2 of 2", said)
        self.assertRegex(said, r"Dashboard +https://")
        cluster = self.parameter(self.stacks("t-cluster")[0], "ClusterName")
        self.check_everything_was_made()
        self.check_bucket()
        self.check_network()
        self.check_nodes(cluster)
        self.check_rights(cluster)
        self.check_function()
        self.check_dashboard(cluster)

        self.check_run(cluster)

        before = self.group()
        said = deploy(self.env, "status", "--name", "t")
        self.assertIn("epoch 2", said)
        self.assertIn("i-2\t10.74.0.2:7400", said)
        self.assertEqual(said.count("InService"), 2)

        # The same command again changes nothing, and needs no option that was given before.
        said = self.create()
        self.assertIn("exists already", said)
        self.assertEqual(self.parameter(self.stacks("t-cluster")[0], "ClusterName"), cluster)
        self.assertEqual(self.instances(self.group()), self.instances(before))

        # More nodes, and another program; the rest does not change.
        other = Path(self.home.name) / "other"
        other.write_bytes(Path(PROGRAM).read_bytes() + b"other")
        key = self.parameter(self.stacks("t-cluster")[0], "ProgramKey")
        self.create("--nodes", "3", "--min-members", "2", "--program", str(other))
        stack = self.stacks("t-cluster")[0]
        self.assertNotEqual(self.parameter(stack, "ProgramKey"), key)
        self.assertEqual(self.parameter(stack, "Replicas"), "2")
        self.assertEqual(self.parameter(stack, "MinMembers"), "2")
        self.assertEqual(self.group()["DesiredCapacity"], 3)

        self.put_record(self.output("t-store", "Bucket"), cluster, 1)
        self.assertIn("fewer members than the 2 replicas", deploy(self.env, "status", "--name", "t", code=1))

        self.remove_routes()
        deploy(self.env, "delete", "--name", "t", "--yes")
        self.assertEqual(self.stacks("t-cluster") + self.stacks("t-kmeans"), [])
        # The bucket is kept.
        self.assertEqual(len(self.client("s3").list_buckets()["Buckets"]), 1)
        deploy(self.env, "delete", "--name", "t", "--yes", "--with-data")
        self.assertEqual(self.client("s3").list_buckets()["Buckets"], [])

    def start(self, *command, **variables):
        """Starts a program of this repository; returns the first line of its output, and a function that ends it."""
        path = TARGET / command[0]
        self.assertTrue(path.exists(), f"{path} is missing: first cargo build --workspace --all-features --bins")
        env = {"PATH": os.environ["PATH"], "HOME": self.home.name, **variables}
        run = subprocess.Popen([path, *command[1:]], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

        def end():
            run.kill()
            run.wait()
            run.stdout.close()

        self.addCleanup(end)
        return run, run.stdout.readline()

    def check_run(self, cluster):
        """Runs a job on a real node, with stand-ins for S3 and Lambda, whose function is the real program."""
        bucket = self.output("t-store", "Bucket")
        store, line = self.start("catena-s3-stand-in", "127.0.0.1:0", bucket)
        lines = [line, *(store.stdout.readline() for _ in range(2))]
        keys = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        node = ("--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--cores", "0", "--no-pin")
        of_cluster = ("--cluster", f"s3://{bucket}/clusters", "--cluster-name", cluster, "--create")
        _, ready = self.start("catena-engine", *node, *of_cluster, **keys)
        self.assertIn("ready on", ready)
        variables = [f"{name}={value}" for name, value in keys.items()]
        _, line = self.start("catena-lambda-stand-in", "127.0.0.1:0", "t-kmeans", TARGET / "bootstrap", *variables)
        home = Path(self.home.name)
        points = ("generate", "--points", "5000", "--dims", "8", "--clusters", "9", "--out", str(home / "points.npy"))
        subprocess.run([TARGET / "catena-kmeans", *points], check=True)
        here = ("run", "--k", "7", "--seed", "3", "--data", str(home / "points.npy"), "--out", str(home / "here.csv"))
        subprocess.run([TARGET / "catena-kmeans", *here], check=True, stdout=subprocess.DEVNULL)
        env = {
            **self.env, "AWS_ENDPOINT_URL_S3": keys["CATENA_S3_ENDPOINT_URL"],
            "AWS_ENDPOINT_URL_LAMBDA": line.split()[-1],
            "AWS_ACCESS_KEY_ID": keys["CATENA_S3_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY": keys["CATENA_S3_SECRET_ACCESS_KEY"],
        }
        run = ("run", "--name", "t", "--workers", "3", "--k", "7", "--job", "one")
        there = home / "there.csv"
        said = deploy(env, *run, "--data", str(home / "points.npy"), "--set", "seed=3", "--out", str(there))
        self.assertIn('"points": 5000', said)
        self.assertIn('"workers": 3', said)
        self.assertEqual(there.read_text(), (home / "here.csv").read_text(), "the bits are those of threads")
        # The data is there now.
        uploaded = f"s3://{bucket}/data/one/points.npy"
        said = deploy(env, *run, "--data", uploaded, "--set", "scale=minmax")
        self.assertIn('"converged": true', said)
        for arguments, expected in [
            (("--data", uploaded, "--set", "seeds=3"), "unknown field `seeds`"),
            (("--data", "s3://elsewhere/a.npy"), f"the function reads only s3://{bucket}/data/"),
            (("--data", f"s3://{bucket}/data/none.npy"), "data/none.npy"),
            (("--data", str(home / "none")), "neither a file nor a folder"),
            ((), "--data is missing"),
        ]:
            with self.subTest(expected=expected):
                self.assertIn(expected, deploy(env, *run, *arguments, code=1))

    def remove_routes(self):
        """moto does not delete route tables with a stack, and then cannot delete the VPC."""
        ec2, table = self.client("ec2"), self.resources("t-cluster")["Routes"]
        for association in ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Associations"]:
            ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=table)

    @staticmethod
    def instances(group):
        return sorted(instance["InstanceId"] for instance in group["Instances"])

    def check_everything_was_made(self):
        for stack, path in [
            ("t-store", HERE / "store.yaml"), ("t-cluster", HERE / "cluster.yaml"), ("t-kmeans", KMEANS / "kmeans.yaml"),
        ]:
            template = cfn_yaml.load(str(path))
            # The command had neither --email nor --shell.
            absent = {"HasEmail", "HasShell", "HasShellEndpoints", "OtherVpc"}
            wanted = {
                name for name, resource in template["Resources"].items()
                if resource["Type"] not in NOT_BY_MOTO and resource.get("Condition") not in absent
            }
            self.assertLessEqual(wanted, set(self.resources(stack)), stack)

    def check_bucket(self):
        resources = cfn_yaml.load(str(HERE / "store.yaml"))["Resources"]
        statements = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        by_name = {statement["Sid"]: statement for statement in statements}
        self.assertEqual({(statement["Effect"], statement["Principal"]) for statement in statements}, {("Deny", "*")})
        records = {"Fn::Sub": "${Bucket.Arn}/clusters/*/config.json"}
        never = by_name["RecordsAreNeverDeleted"]
        self.assertEqual((never["Resource"], "s3:DeleteObject" in never["Action"]), (records, True))
        swapped = by_name["RecordsAreOnlyComparedAndSwapped"]
        self.assertEqual((swapped["Resource"], swapped["Action"]), (records, "s3:PutObject"))
        # "true" means absent: denied if both are.
        self.assertEqual(swapped["Condition"], {"Null": {"s3:if-match": "true", "s3:if-none-match": "true"}})
        public = resources["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
        self.assertEqual(set(public.values()), {True})

    def check_network(self):
        ec2, vpc = self.client("ec2"), self.output("t-cluster", "Vpc")
        of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
        gateways = ec2.describe_internet_gateways()["InternetGateways"]
        attached = {attachment["VpcId"] for gateway in gateways for attachment in gateway["Attachments"]}
        self.assertNotIn(vpc, attached, "no internet gateway is attached")
        self.assertEqual(ec2.describe_nat_gateways(Filters=of_vpc)["NatGateways"], [])
        services = {endpoint["ServiceName"] for endpoint in ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]}
        wanted = {f"com.amazonaws.{REGION}.{name}" for name in ("s3", "logs", "cloudformation", "lambda")}
        self.assertEqual(services, wanted)
        groups = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
        names = {group["GroupId"]: group["Description"] for group in groups}
        rules = {
            (group["Description"], names[source["GroupId"]], rule["FromPort"], rule["ToPort"])
            for group in groups if group["GroupName"] != "default"
            for rule in group["IpPermissions"] for source in rule["UserIdGroupPairs"]
        }
        nodes, clients, operators, services = (
            "Catena nodes", "Clients of Catena", "Operators of Catena, who may remove members", "AWS services",
        )
        self.assertEqual(rules, {
            (nodes, clients, 7400, 7499), (nodes, nodes, 7399, 7499), (nodes, operators, 7399, 7499),
            *((services, who, 443, 443) for who in (nodes, clients, operators)),
        })
        # No rule is for a range of addresses.
        ranges = [rule for group in groups if group["GroupName"] != "default" for rule in group["IpPermissions"] if rule["IpRanges"]]
        self.assertEqual(ranges, [])
        self.check_rules_of_template()

    def check_rules_of_template(self):
        """moto does not make outgoing rules; in an own VPC they name groups and the prefix list of S3."""
        resources = cfn_yaml.load(str(HERE / "cluster.yaml"))["Resources"]
        rules = [r for r in resources.values() if r["Type"] == "AWS::EC2::SecurityGroupEgress" and r.get("Condition") != "OtherVpc"]
        to = {
            (rule["GroupId"]["Ref"], (rule.get("DestinationSecurityGroupId") or rule["DestinationPrefixListId"])["Ref"], rule["FromPort"])
            for rule in (rule["Properties"] for rule in rules)
        }
        everybody = ("EngineSecurityGroup", "ClientSecurityGroup", "OperatorSecurityGroup")
        self.assertEqual(to, {
            ("EngineSecurityGroup", "EngineSecurityGroup", 7399), ("ClientSecurityGroup", "EngineSecurityGroup", 7400),
            ("OperatorSecurityGroup", "EngineSecurityGroup", 7399),
            *((who, "S3PrefixList", 443) for who in everybody), *((who, "EndpointSecurityGroup", 443) for who in everybody),
        })
        group = resources["Nodes"]
        update = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
        self.assertEqual((update["WaitOnResourceSignals"], update["MaxBatchSize"]), (True, 1))
        self.assertEqual(group["CreationPolicy"]["ResourceSignal"]["Count"], {"Ref": "NodeCount"})

    def check_nodes(self, cluster):
        group = self.group()
        self.assertEqual([group["MinSize"], len(group["Instances"])], [2, 2])
        ec2 = self.client("ec2")
        ids = self.instances(group)
        instances = [i for r in ec2.describe_instances(InstanceIds=ids)["Reservations"] for i in r["Instances"]]
        self.assertEqual({i["SubnetId"] for i in instances}, {self.resources("t-cluster")["NodesSubnet"]})
        template = ec2.describe_launch_template_versions(
            LaunchTemplateId=self.resources("t-cluster")["NodeTemplate"], Versions=["$Latest"],
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        self.assertEqual(template["InstanceType"], "r5.2xlarge")
        self.assertEqual(template["MetadataOptions"]["HttpTokens"], "required")
        self.assertTrue(template["BlockDeviceMappings"][0]["Ebs"]["Encrypted"])
        self.check_start(cluster)

    def user_data(self):
        """The start script of a new node."""
        template = self.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=self.resources("t-cluster")["NodeTemplate"], Versions=["$Latest"],
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return base64.b64decode(template["UserData"])

    def check_start(self, cluster):
        """Runs the start script of a node in a directory, with stub programs that record their calls."""
        script = self.user_data().decode()
        with tempfile.TemporaryDirectory() as folder:
            root, tools = Path(folder, "root"), Path(folder, "bin")
            tools.mkdir()
            note = f'#!/bin/bash\necho "${{0##*/}} $*" >> {folder}/calls\n'
            answers = {
                "curl": 'case "$*" in *api/token) echo token ;; *instance-id) echo i-1 ;; *local-ipv4) echo 10.74.0.9 ;;'
                " *availability-zone-id) echo euc1-az2 ;; *) exit 22 ;; esac",
                "aws": f'[ "$1" != s3 ] || cat {folder}/bundle', "systemctl": "", "systemd-tmpfiles": "", "sysctl": "",
                "dnf": f"[ ! -e {folder}/offline ]", "catena-await-healthy": f"[ ! -e {folder}/sick ]",
            }
            for tool, answer in answers.items():
                Path(tools, tool).write_text(note + answer + "\n")
                Path(tools, tool).chmod(stat.S_IRWXU)
            # The bundle that deploy.sh uploaded.
            s3, bucket = self.client("s3"), self.output("t-store", "Bucket")
            key = self.parameter(self.stacks("t-cluster")[0], "ProgramKey")
            s3.download_file(bucket, key, f"{folder}/bundle")
            root.mkdir()
            agent = "/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
            self.assertIn(agent, script)
            script = script.replace(agent, "systemctl agent").replace("-C /\n", f"-C {root}\n")
            script = script.replace(" /etc/", f" {root}/etc/").replace("file:/etc/", f"file:{root}/etc/")
            # The node works without the agent; it is healthy when its cluster is.
            for state, signal in [("offline", "SUCCESS"), ("sick", "FAILURE"), ("well", "SUCCESS")]:
                Path(folder, state).touch()
                Path(folder, "calls").unlink(missing_ok=True)
                run = subprocess.run(
                    ["bash", "-c", script], env={"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, text=True,
                    timeout=30, check=False,
                )
                Path(folder, state).unlink()
                self.assertEqual(run.returncode == 0, signal == "SUCCESS", run.stderr)
                signalled = [line for line in Path(folder, "calls").read_text().splitlines() if "signal-resource" in line]
                stack = "--stack-name t-cluster --logical-resource-id Nodes --unique-id i-1"
                self.assertEqual(signalled, [f"aws cloudformation signal-resource {stack} --status {signal}"])
            lines = Path(root, "etc/catena/engine.env").read_text().splitlines()
            settings = dict(line.split("=", 1) for line in lines)
            self.assertEqual(set(settings), {"AWS_REGION", "CATENA_FLAGS"})
            flags = settings["CATENA_FLAGS"].split()
            expected = (
                f"--listen 10.74.0.9:7400 --advertise 10.74.0.9 --control 10.74.0.9:7399 --insecure-network "
                f"--cluster s3://{bucket}/clusters --cluster-name {cluster} --create --replicas 2 "
                "--min-members 0 "
                "--node-name i-1 --az euc1-az2 --cores 0-7 --memory 6GiB --spin 50 --metrics 127.0.0.1:7398 --emf 30"
            )
            self.assertEqual(flags, expected.split())
            for program in ("catena-engine", "catena", "catena-await-healthy"):
                self.assertTrue(os.access(root / "usr/local/bin" / program, os.X_OK))
            agent = json.loads((root / "etc/catena/cloudwatch-agent.json").read_text())
            logs = [file["log_group_name"] for file in agent["logs"]["logs_collected"]["files"]["collect_list"]]
            self.assertEqual(logs, [f"/catena/{cluster}/metrics", f"/catena/{cluster}/engine"])
            calls = Path(folder, "calls").read_text()
            self.assertIn("systemctl enable --now catena-engine.service", calls)
            self.assertIn(f"catena-await-healthy s3://{bucket}/clusters#{cluster} 10.74.0.9:7399 ", calls)
            # Every file that a call or the unit names is in the bundle.
            named = re.findall(rf"{root}(/etc/\S+)", calls) + ["/etc/systemd/system/catena-engine.service"]
            self.assertEqual(len(named), 4, named)
            for file in named:
                self.assertTrue(Path(f"{root}{file}").exists(), file)

    def statements(self, stack, role):
        iam = self.client("iam")
        name = self.resources(stack)[role]
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        self.assertEqual(iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"], [])
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        if isinstance(document, str):
            # moto returns it in Python's syntax.
            document = ast.literal_eval(document)
        return {statement["Sid"]: statement for statement in document["Statement"]}

    def check_rights(self, cluster):
        bucket = self.output("t-store", "Bucket")
        node = self.statements("t-cluster", "NodeRole")
        record_arn = f"arn:aws:s3:::{bucket}/clusters/{cluster}/config.json"
        self.assertEqual(node["OwnRecord"]["Resource"], record_arn)
        function = self.statements("t-kmeans", "Role")
        self.assertEqual((function["FindTheNodes"]["Action"], function["FindTheNodes"]["Resource"]), ("s3:GetObject", record_arn))
        for name, statement in [*node.items(), *function.items()]:
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                self.assertNotIn("*", action, name)
                self.assertNotIn("Delete", action.split(":")[1] if action.startswith("s3:") else "", name)
        writable = [s for s in function.values() if s["Effect"] == "Allow" and "s3:PutObject" in s["Action"]]
        self.assertEqual([s["Resource"] for s in writable], [f"arn:aws:s3:::{bucket}/results/*"])

    def check_function(self):
        function = self.client("lambda").get_function(FunctionName="t-kmeans")["Configuration"]
        self.assertEqual((function["Runtime"], function["Handler"]), ("provided.al2023", "bootstrap"))
        self.assertEqual(function["VpcConfig"]["SubnetIds"], [self.resources("t-cluster")["FunctionsSubnet"]])
        self.assertEqual(function["VpcConfig"]["SecurityGroupIds"], [self.resources("t-cluster")["ClientSecurityGroup"]])
        out = f"s3://{self.output('t-store', 'Bucket')}/results/"
        variables = {name: str(value) for name, value in function["Environment"]["Variables"].items()}
        self.assertEqual(variables, {"CATENA_KMEANS_K": "25", "CATENA_KMEANS_OUT": out})
        events = self.client("events")
        rule = self.resources("t-kmeans")["Uploaded"].split("/")[-1]
        pattern = json.loads(events.describe_rule(Name=rule)["EventPattern"])
        self.assertEqual(pattern["detail"]["object"]["key"], [{"prefix": "data/"}])
        (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
        self.assertEqual(target["Arn"], function["FunctionArn"])
        # The function gets the event as EventBridge sends it.
        self.assertFalse({"Input", "InputPath", "InputTransformer"} & set(target), target)

    def check_dashboard(self, cluster):
        body = self.client("cloudwatch").get_dashboard(DashboardName=f"catena-{cluster}")["DashboardBody"]
        widgets = json.loads(body)["widgets"]
        right = [widget["x"] + widget["width"] for widget in widgets]
        self.assertLessEqual(max(right), 24)
        shown = set(re.findall(r'MetricName="(\w+)"', body.replace('\\"', '"')))
        watched = set(re.findall(r"MetricName: (\w+)", (HERE / "cluster.yaml").read_text())) - {"GroupInServiceInstances"}
        readme = (HERE / "README.md").read_text()
        told = set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE))
        self.assertEqual(shown | watched, told, "the guide lists the metrics of dashboard and alarms")


if __name__ == "__main__":
    unittest.main(verbosity=2)
