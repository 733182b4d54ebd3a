"""Exercises deploy.sh and the templates against moto, which stands in for AWS, and against answers made up here.

    pip install 'moto[server,...]' boto3 awscli      # check.sh does
    python3 engine/deploy/test_deploy.py

moto takes templates, and makes networks, groups of instances, functions, roles and buckets of them, as far as its API
can show. It starts no instance, enforces no policy, and does not know alarms, placement groups and buckets' policies in
templates: those are only linted, and the policy is read here.
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
# Any Linux program that is there and small.
PROGRAM = shutil.which("true")
NOT_BY_MOTO = {"AWS::CloudWatch::Alarm", "AWS::EC2::PlacementGroup", "AWS::S3::BucketPolicy"}


def environment(home, **more):
    """An environment in which nobody has set anything up."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CATENA_DEPLOY_POLL": "0.2",
        **more,
    }


def deploy(env, *arguments, code=0, on_line=lambda line: None):
    """Runs deploy.sh and returns what it said."""
    said = []
    with subprocess.Popen(
        ["bash", str(DEPLOY), *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as run:
        # It waits for nothing for longer than it is told; this is for what nobody thought of.
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
    """What needs no AWS at all."""

    def setUp(self):
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.env = environment(self.home)

    def only(self, *tools):
        """A PATH with nothing but these."""
        folder = self.home / "bin"
        folder.mkdir()
        for tool in tools:
            (folder / tool).symlink_to(shutil.which(tool))
        return {**self.env, "PATH": str(folder)}

    def test_a_dry_run_takes_neither_tools_nor_an_account(self):
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
        said = deploy(env, "delete", "--dry-run", "--with-data", "--name", "km")
        places = [said.index(stack) for stack in ("km-kmeans", "km-cluster", "aws s3 rm", "km-store")]
        self.assertEqual(places, sorted(places))
        deploy(env, "status", "--dry-run")

    def test_what_is_wrong_is_said(self):
        cases = [
            ([], 2, "Usage"),
            (["destroy"], 1, "`destroy` is none of create, status, delete"),
            (["status", "--nodes", "3"], 1, "`--nodes` is no option of status"),
            (["create", "--nodes"], 1, "--nodes takes a value"),
            (["create", "--nodes", "9"], 1, "`9` is not what it takes"),
            (["create", "--name", "Upper"], 1, "--name: `Upper`"),
            (["create", "--replicas", "3", "--dry-run"], 1, "3 replicas take at least as many nodes, and there are 2"),
            (["create", "--min-members", "3", "--dry-run"], 1, "there are never more than 2 members"),
            (["status"], 1, "no region"),
            (["status", "--region", REGION], 1, "AWS does not know who you are"),
        ]
        for arguments, code, expected in cases:
            with self.subTest(arguments=arguments):
                self.assertIn(expected, deploy(self.env, *arguments, code=code))

    def test_missing_tools_are_named(self):
        env = self.only("bash", "dirname", "mktemp", "rm")
        self.assertIn("`aws` is missing: install", deploy(env, "create", code=1))


# Answers of an AWS whose stacks are files that hold their states.
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
            print("NodeCount\t2\nReplicas\t2\nMinMembers\t1\nBucket\tbucket\nClusterName\tone")
    case ["cloudformation", "delete-stack"]:
        stack().unlink()
    case ["cloudformation", "create-stack"]:
        stack().write_text((home / "becomes").read_text())
    case ["cloudformation", "update-stack"]:
        sys.exit("An error occurred (ValidationError): No updates are to be performed.")
    case ["cloudformation", "describe-stack-events"]:
        print("1\tBucket\tAWS::S3::Bucket\tCREATE_FAILED\tsomebody has that name")
    case ["s3api", "get-object"] if not (home / "record").exists():
        sys.exit("no such key")
    case _:
        print("bucket")
"""


class States(unittest.TestCase):
    """States of stacks that moto has not."""

    def setUp(self):
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.env = environment(self.home, PATH=f"{self.home}:{os.environ['PATH']}", AWS_REGION=REGION)
        (self.home / "aws").write_text(STUB)
        (self.home / "aws").chmod(stat.S_IRWXU)
        self.becomes("CREATE_COMPLETE")

    def becomes(self, state):
        (self.home / "becomes").write_text(state)

    def create(self, code):
        # It ends where the record has no members.
        return deploy(self.env, "create", "--program", PROGRAM, "--wait", "0", code=code)

    def calls(self, what):
        """What was asked of AWS, as far as it has this in it."""
        return [call for call in (self.home / "calls").read_text().splitlines() if what in call]

    def test_what_could_not_be_created_is_deleted_and_created_again(self):
        (self.home / "stack-catena-store").write_text("ROLLBACK_COMPLETE")
        self.assertIn("it was left as ROLLBACK_COMPLETE; deleting it first", self.create(code=1))
        self.assertEqual(len(self.calls("delete-stack --stack-name catena-store")), 1)
        self.assertEqual(len(self.calls("create-stack --stack-name catena-store")), 1)

    def test_what_is_as_it_should_be_stays(self):
        (self.home / "stack-catena-store").write_text("UPDATE_COMPLETE")
        self.assertIn("nothing to change", self.create(code=1))
        self.assertEqual(self.calls("delete-stack"), [])
        self.assertEqual(self.calls("create-stack --stack-name catena-store"), [])

    def test_a_failure_stops_it_and_is_explained(self):
        self.becomes("ROLLBACK_COMPLETE")
        # Told as new: there were no events before.
        said = deploy(self.env, "create", "--program", PROGRAM, code=1)
        self.assertIn("stack catena-store is ROLLBACK_COMPLETE", said)
        self.assertEqual(self.calls("catena-cluster"), [])

    def test_a_cluster_keeps_its_name_and_gets_no_other_ones(self):
        create = ("create", "--program", PROGRAM, "--wait", "0", "--cluster-name", "two")
        (self.home / "record").touch()
        self.assertIn("there was a cluster two in this bucket", deploy(self.env, *create, code=1))
        (self.home / "stack-catena-cluster").write_text("CREATE_COMPLETE")
        self.assertIn("these nodes are the cluster one", deploy(self.env, *create, code=1))
        self.assertEqual(self.calls("-stack --stack-name catena-cluster"), [])

    def test_nothing_is_deleted_by_accident(self):
        (self.home / "stack-catena-cluster").write_text("CREATE_COMPLETE")
        self.assertIn("say --yes", deploy(self.env, "delete", code=1))
        self.assertEqual(self.calls("delete"), [])
        deploy(self.env, "delete", "--yes")
        self.assertEqual(len(self.calls("delete-stack")), 1)
        self.assertEqual(self.calls("s3"), [], "the bucket stays")
        # There is nothing left, which is no error.
        deploy(self.env, "delete", "--yes", "--with-data")
        self.assertEqual(len(self.calls("delete-stack")), 1)

    def test_no_stack_has_a_status_of_its_own(self):
        self.assertIn("catena-cluster               none", deploy(self.env, "status", code=3))

    def test_members_that_do_not_come_are_a_failure(self):
        said = self.create(code=1)
        self.assertIn("not all nodes became members within 0 minutes", said)
        self.assertIn("aws logs tail /catena/", said)


class Programs(unittest.TestCase):
    """Programs that would not run on a node."""

    def test_they_are_refused(self):
        home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (home / "aws").write_text(STUB)
        (home / "aws").chmod(stat.S_IRWXU)
        env = environment(home, PATH=f"{home}:{os.environ['PATH']}", AWS_REGION=REGION)
        program = home / "program"
        for content, expected in [
            (None, "there is no file"),
            (b"#!/bin/sh\n", "is no Linux program"),
            (b"\x7fELF\0GLIBC_2.17\0GLIBC_2.39\0", "takes glibc 2.39"),
        ]:
            with self.subTest(expected=expected):
                if content is not None:
                    program.write_bytes(content)
                self.assertIn(expected, deploy(env, "create", "--program", str(program), code=1))


def keep_defaults(resolve):
    """moto knows the previous value only of parameters that were given; those with a default have that."""

    def resolved(self, instance, incoming_params):
        known = [p for p in incoming_params if "ParameterValue" in p or p["ParameterKey"] in instance.parameters]
        return resolve(self, instance, known)

    return resolved


def record(cluster, members):
    """A configuration record as the engine writes it, as far as deploy.sh reads it."""
    nodes = {
        f"n-{i:032x}": {"name": f"i-{i}", "peer": f"10.74.0.{i}:7399", "clients": [f"10.74.0.{i}:7400"], "az": "euc1-az2"}
        for i in range(1, members + 1)
    }
    return json.dumps({"v": 1, "cluster": cluster, "epoch": members, "nodes": nodes}, separators=(",", ":")).encode()


class Deployment(unittest.TestCase):
    """A cluster's life on moto, from the first command to the last."""

    @classmethod
    def setUpClass(cls):
        # Of every request, and of what it does not know.
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
        """Creates, with nodes that become members as soon as they are waited for."""

        def join(line):
            if line.startswith("== members in s3://"):
                bucket, _, name, _ = line.split("//")[1].split("/")
                self.put_record(bucket, name, 2)

        # Nobody else may look meanwhile: moto makes some things when it is asked, and then twice.
        arguments = ("--name", "t", "--program", PROGRAM, "--bootstrap", PROGRAM, "--wait", "1", *arguments)
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
        # It does not tell what all of them are called.
        named = [resource for resource in found if "LogicalResourceId" in resource]
        return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in named}

    def group(self):
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        self.assertEqual(len(groups), 1)
        return groups[0]

    def test_a_cluster_lives_and_dies(self):
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

        before = self.group()
        said = deploy(self.env, "status", "--name", "t")
        self.assertIn("epoch 2", said)
        self.assertIn("i-2\t10.74.0.2:7400", said)
        self.assertEqual(said.count("InService"), 2)

        # The same again is no change, and asks for nothing that was given before.
        said = self.create()
        self.assertIn("is there already", said)
        self.assertEqual(self.parameter(self.stacks("t-cluster")[0], "ClusterName"), cluster)
        self.assertEqual(self.instances(self.group()), self.instances(before))

        # More nodes, and another program; the rest stays.
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
        self.assertIn("fewer than the 2", deploy(self.env, "status", "--name", "t", code=1))

        self.remove_routes()
        deploy(self.env, "delete", "--name", "t", "--yes")
        self.assertEqual(self.stacks("t-cluster") + self.stacks("t-kmeans"), [])
        # The bucket stays.
        self.assertEqual(len(self.client("s3").list_buckets()["Buckets"]), 1)
        deploy(self.env, "delete", "--name", "t", "--yes", "--with-data")
        self.assertEqual(self.client("s3").list_buckets()["Buckets"], [])

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
            # Neither an address for alarms nor shells were asked for.
            absent = {"HasEmail", "HasShell"}
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
        # Denied when both are absent.
        self.assertEqual(swapped["Condition"], {"Null": {"s3:if-match": "true", "s3:if-none-match": "true"}})
        public = resources["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
        self.assertEqual(set(public.values()), {True})

    def check_network(self):
        ec2, vpc = self.client("ec2"), self.output("t-cluster", "Vpc")
        of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
        gateways = ec2.describe_internet_gateways()["InternetGateways"]
        attached = {attachment["VpcId"] for gateway in gateways for attachment in gateway["Attachments"]}
        self.assertNotIn(vpc, attached, "there is no way in from the internet")
        self.assertEqual(ec2.describe_nat_gateways(Filters=of_vpc)["NatGateways"], [])
        services = {endpoint["ServiceName"] for endpoint in ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]}
        self.assertEqual(services, {f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.logs"})
        ports = {}
        for group in ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]:
            if group["GroupName"] == "default":
                continue
            for rule in group["IpPermissions"]:
                sources = [source["CidrIp"] for source in rule["IpRanges"]]
                self.assertEqual(sources, ["10.74.0.0/16"], group["Description"])
                ports.setdefault(group["Description"], set()).add((rule["FromPort"], rule["ToPort"]))
        self.assertEqual(
            ports, {"Catena nodes": {(7399, 7399), (7400, 7499)}, "AWS services, from within the VPC": {(443, 443)}},
        )

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
        # moto does not see that this parameter is in the text of a script, and makes no other one when it changes.
        self.check_start(cluster, members=2)

    def user_data(self):
        """What nodes run when they start, from now on."""
        template = self.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=self.resources("t-cluster")["NodeTemplate"], Versions=["$Latest"],
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return base64.b64decode(template["UserData"])

    def check_start(self, cluster, members=0):
        """Runs what a node runs when it starts, in a folder, with programs that only note their calls."""
        script = self.user_data().decode()
        least = "least='--min-members 0'\n[[ 0 != 0 ]]"
        self.assertIn(least, script)
        script = script.replace(least, f"least='--min-members {members}'\n[[ {members} != 0 ]]")
        replicas = f"--replicas 2 --min-members {members}" if members else "--replicas 2"
        with tempfile.TemporaryDirectory() as folder:
            root, tools = Path(folder, "root"), Path(folder, "bin")
            tools.mkdir()
            note = f'#!/bin/bash\necho "${{0##*/}} $*" >> {folder}/calls\n'
            answers = {
                "curl": 'case "$*" in *api/token) echo token ;; *instance-id) echo i-1 ;; *local-ipv4) echo 10.74.0.9 ;;'
                " *availability-zone-id) echo euc1-az2 ;; *) exit 22 ;; esac",
                "aws": f"cat {folder}/bundle", "systemctl": "", "systemd-tmpfiles": "", "sysctl": "", "dnf": "",
            }
            for tool, answer in answers.items():
                Path(tools, tool).write_text(note + answer + "\n")
                Path(tools, tool).chmod(stat.S_IRWXU)
            # The bundle is what deploy.sh uploaded.
            s3, bucket = self.client("s3"), self.output("t-store", "Bucket")
            key = self.parameter(self.stacks("t-cluster")[0], "ProgramKey")
            s3.download_file(bucket, key, f"{folder}/bundle")
            root.mkdir()
            agent = "/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
            self.assertIn(agent, script)
            script = script.replace(agent, "systemctl agent").replace("-C /\n", f"-C {root}\n")
            script = script.replace(" /etc/", f" {root}/etc/").replace("file:/etc/", f"file:{root}/etc/")
            run = subprocess.run(
                ["bash", "-c", script], env={"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, text=True,
                timeout=30, check=False,
            )
            self.assertEqual(run.returncode, 0, run.stderr)
            lines = Path(root, "etc/catena/engine.env").read_text().splitlines()
            settings = dict(line.split("=", 1) for line in lines)
            self.assertEqual(set(settings), {"AWS_REGION", "CATENA_FLAGS"})
            flags = settings["CATENA_FLAGS"].split()
            expected = (
                f"--listen 10.74.0.9:7400 --advertise 10.74.0.9 --control 10.74.0.9:7399 --insecure-network "
                f"--cluster s3://{bucket}/clusters --cluster-name {cluster} --create {replicas} "
                "--node-name i-1 --az euc1-az2 --cores 0-7 --memory 6GiB --spin 50 --metrics 127.0.0.1:7398 --emf 30"
            )
            self.assertEqual(flags, expected.split())
            self.assertTrue(os.access(root / "usr/local/bin/catena-engine", os.X_OK))
            agent = json.loads((root / "etc/catena/cloudwatch-agent.json").read_text())
            logs = [file["log_group_name"] for file in agent["logs"]["logs_collected"]["files"]["collect_list"]]
            self.assertEqual(logs, [f"/catena/{cluster}/metrics", f"/catena/{cluster}/engine"])
            calls = Path(folder, "calls").read_text()
            self.assertIn("systemctl enable --now catena-engine.service", calls)
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
            # moto has written Python's idea of it.
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
        # The function reads the event as EventBridge tells it.
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
        self.assertEqual(shown | watched, told, "the guide lists what the engine has to tell")


if __name__ == "__main__":
    unittest.main(verbosity=2)
