import torch, math
from statistics import mean
from torch import nn
from pretrain_lib import *
from pretrain_lib.course.exercises.ch15 import cpc_loss
from pretrain_lib.transfer.tuning import fit_tuned
SHAPE=AcousticLSTMConfig(hidden_size=96,num_hidden_layers=1,directions="apart"); JOINED=AcousticLSTMConfig(hidden_size=96,num_hidden_layers=1,directions="joined")
P=load_speech("phrases","train",room=Room()); T=load_speech("phrases","test",room=Room()).subset(range(100))
lab=P.subset(range(20))
def phones(m,test=T):
    s,a=frame_samples(m,lab),frame_samples(m,test); return (LinearProbe(None,"features").fit(s,.1)(a)==a.labels).float().mean().item()
V=P.subset(range(800)); 
def voice(m):
    s=sound_samples(m,V,"voices"); k,a=s.subset(range(400)),s.subset(range(400,800)); return (LinearProbe(None,"features").fit(k,1.0)(a)==a.labels).float().mean().item()
u=phones(AcousticLSTM(SHAPE,0)); print("untrained",u, "joined", phones(AcousticLSTM(JOINED,0)), "voice", voice(AcousticLSTM(SHAPE,0)))
# A
m=AcousticLSTM(JOINED,0); h=nn.Linear(192,128,bias=False); o=torch.optim.Adam([*m.parameters(),*h.parameters()],3e-3); ch=[]
for s in range(1,121):
    b=P.take(Keys.of(0,range(8*s%240,8*s%240+8))); l,k=m.layers_of(b["features"],b["lengths"])
    loss=sum(cpc_loss(p[r],z[r],2,1.0) for p,z,r in zip(h(l[-1]),l[0],k))/8; ch.append(mean(math.log(int(r.sum())) for r in k))
    o.zero_grad(); loss.backward(); nn.utils.clip_grad_norm_(m.parameters(),5.0); o.step()
    if s in (20,60,120): print("A",s,round(loss.item(),3),round(phones(m),3),"chance",round(mean(ch),3))
def rec(n,rate=3e-3): return TrainConfig(steps=n,batch_size=16,learning_rate=rate,weight_decay=1e-4,warmup_steps=n//10,gradient_clipping=5.0,precision="fp32",device="cpu",log_every=1)
for way in ("other","same"):
    for n in (100,500):
        m=AcousticLSTM(SHAPE,0); hist=Trainer(m,ContrastivePrediction(128,96,4,32,way),LengthBuckets(P,16),rec(n)).fit()
        print("DE",way,n,round(mean(hist.losses[-10:]),3),"phones",round(phones(m),3),"other phrases of known voices",round(phones(m,P.subset(range(1000,1100))),3),"voice",round(voice(m),3))
said=[r[r>=0].tolist() for r in T.sequences]
for rate in (3e-4,1e-3):
  for n in (20,100,200):
    w=fine_tune_ctc(AcousticLSTM(JOINED,0),LengthBuckets(lab,16),len(P.symbols)-1,rec(n,rate)); t=transcripts(w,T)
    print("B",rate,n,"written",100*sum(map(len,t))/sum(map(len,said)),"PER",error_rate(said,t))
# C
W=load_speech("words","train",room=Room()); X=load_speech("words","test",room=Room())
for name,m in (("random",AcousticLSTM(SHAPE,0)),):
    s,x=sound_samples(m,W),sound_samples(m,X)
    for count in (5,10,20):
        for c in (1.0,10.0):
            known=x.subset([i for i in range(800) if i<20*count]); 
            p=LinearProbe(None,"features").fit(known,c)
            rest=x.subset(range(20*count,800)); print("C",count,c,"same speakers",(p(rest)==rest.labels).float().mean().item(),"other speakers",(p(s)==s.labels).float().mean().item())
